#include "memory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "../../nvml_stub/rig_state.h"

namespace vgpu {

// By card, under the lock of State. This and its like are made when first used, as the order in which files start is open, and never
// destroyed, as other libraries still free memory at the end.
static std::map<int, size_t> & held() {
    static auto & all = *new std::map<int, size_t>;
    return all;
}

// What this process holds, as a line per card of processes/PID; renamed into place, for others read at any moment.
static void publish() {
    const std::string folder = std::string(getenv("RIGTUI_NVML_STUB")) + "/processes/", name = std::to_string(getpid());
    const std::string temporary = folder + "." + name + ".new";
    FILE * file = fopen(temporary.c_str(), "w");
    if (!file) return;
    for (const auto & [card, bytes] : held()) {
        if (bytes) fprintf(file, "%d compute %zu bytes\n", card, bytes);
    }
    fclose(file);
    rename(temporary.c_str(), (folder + name).c_str());
}

// While a State lives, `rig` is what the directory says, and no other process changes it.
struct State {
    State() {
        mutex().lock();
        const char * folder = getenv("RIGTUI_NVML_STUB");
        file = folder ? open((std::string(folder) + "/lock").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600) : -1;
        if (file >= 0) flock(file, LOCK_EX);
        if (!load_rig()) rig.count = 0;
    }

    ~State() {
        if (file >= 0) close(file);
        mutex().unlock();
    }

  private:
    int file;

    static std::mutex & mutex() {
        static std::mutex one;
        return one;
    }
};

Rig read_rig() {
    State state;
    Rig found{{}, rig.ram_gb_s, rig.idle != 0};
    for (int i = 0; i < rig.count; i++) {
        const card_t & card = rig.cards[i];
        found.cards.push_back({i, card.name, card.uuid, card.pci, std::max(card.cc_major, 0) * 100 + std::max(card.cc_minor, 0) * 10,
                               (size_t) card.context_mib * MIB, (size_t) card.pool_mib * MIB, card.gb_s, card.link_gb_s, card.fail_at});
    }
    return found;
}

// Another program, already running as rival_pid, takes memory when this process is about to hold more than rival_after_mib.
static void rival(int card, size_t bytes) {
    const card_t & one = rig.cards[card];
    if (!one.rival_pid || held()[card] + bytes <= (size_t) one.rival_after_mib * MIB) return;
    const std::string folder = std::string(getenv("RIGTUI_NVML_STUB")) + "/processes/", name = std::to_string(one.rival_pid);
    const std::string temporary = folder + "." + name + ".new";
    FILE * file = fopen(temporary.c_str(), "w");
    if (!file) return;
    fprintf(file, "%d compute %lld\n", card, one.rival_mib);
    fclose(file);
    rename(temporary.c_str(), (folder + name).c_str());
    load_rig();
}

bool take(int card, size_t bytes) {
    State state;
    if (card >= rig.count) return false;
    rival(card, bytes);
    if (bytes > free_bytes(&rig.cards[card])) return false;
    const long long limit = rig.cards[card].limit_mib;
    if (limit >= 0 && held()[card] + bytes > (size_t) limit * MIB) return false;
    held()[card] += bytes;
    publish();
    return true;
}

void give(int card, size_t bytes) {
    State state;
    held()[card] -= bytes;
    publish();
}

void sizes(int card, size_t & free, size_t & total) {
    State state;
    free = total = 0;
    if (card >= rig.count) return;
    total = (size_t) rig.cards[card].total_mib * MIB;
    free = free_bytes(&rig.cards[card]);
}

static std::mutex & guard() {
    static std::mutex one;
    return one;
}

static std::map<char *, size_t> & mapped() {
    static auto & all = *new std::map<char *, size_t>;
    return all;
}

void * map(size_t bytes) {
    void * base = mmap(nullptr, std::max<size_t>(bytes, 1), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) return nullptr;
    const std::lock_guard<std::mutex> lock(guard());
    mapped()[(char *) base] = bytes;
    return base;
}

void unmap(void * base, size_t bytes) {
    const std::lock_guard<std::mutex> lock(guard());
    mapped().erase((char *) base);
    munmap(base, std::max<size_t>(bytes, 1));
}

void clear(void * at, size_t bytes) {
    static const uintptr_t page = sysconf(_SC_PAGESIZE);
    const uintptr_t begin = (uintptr_t) at, end = begin + bytes;
    const uintptr_t first = (begin + page - 1) / page * page, last = end / page * page;
    if (first >= last) {
        memset(at, 0, bytes);
        return;
    }
    memset(at, 0, first - begin);
    madvise((void *) first, last - first, MADV_DONTNEED);
    memset((void *) last, 0, end - last);
}

static bool zero(const char * at, size_t bytes) {
    return !*at && !memcmp(at, at + 1, bytes - 1);
}

void erase(void * at, size_t bytes) {
    bool ours = false;
    if (bytes >= 16 * MIB) {  // else it is cheaper to write
        const std::lock_guard<std::mutex> lock(guard());
        auto next = mapped().upper_bound((char *) at);
        ours = next != mapped().begin() && (char *) at + bytes <= std::prev(next)->first + std::prev(next)->second;
    }
    if (ours) {
        clear(at, bytes);
    } else if (!zero((const char *) at, bytes)) {
        memset(at, 0, bytes);
    }
}

void store(void * to, const void * from, size_t bytes) {
    constexpr size_t chunk = 64 * 1024;
    if (bytes < chunk) {
        memcpy(to, from, bytes);
        return;
    }
    if (in_hole(from, bytes)) {
        clear(to, bytes);
        return;
    }
    const char * source = (const char *) from;
    for (size_t begin = 0, end = 0; begin < bytes; begin = end) {
        const bool zeros = zero(source + begin, std::min(chunk, bytes - begin));
        do {
            end = std::min(end + chunk, bytes);
        } while (end < bytes && zero(source + end, std::min(chunk, bytes - end)) == zeros);
        if (zeros) {
            clear((char *) to + begin, end - begin);
        } else {
            memcpy((char *) to + begin, source + begin, end - begin);
        }
    }
}

double now() {
    timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec * 1e-9;
}

void pace(double since, double bytes, double gb_s) {
    static thread_local double late = 0;
    if (gb_s <= 0 || bytes <= 0) return;
    const double until = since + bytes / (gb_s * 1e9) - late, wait = until - now();
    if (wait > 0) {
        const timespec length = {(time_t) wait, (long) ((wait - (time_t) wait) * 1e9)};
        nanosleep(&length, nullptr);
    }
    late = std::max(now() - until, 0.0);
}

// A process that ends takes its line with it; one that dies is not alive, which says the same.
__attribute__((destructor)) static void leave() {
    const char * folder = getenv("RIGTUI_NVML_STUB");
    if (folder && !held().empty()) unlink((std::string(folder) + "/processes/" + std::to_string(getpid())).c_str());
}

}  // namespace vgpu

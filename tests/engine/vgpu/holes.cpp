// Sparse files are read for nothing: a model of 60 GB whose weights are a hole loads in a second. Stands in front of the C library
// (LD_PRELOAD) where llama.cpp maps and reads model files; files without holes are left to it.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "memory.h"

namespace {

struct Mapping {
    const char * base;
    size_t bytes;
    off_t offset;
    int file;  // opened anew: asking for holes moves a file's position
};

std::mutex & guard() {
    static std::mutex one;
    return one;
}

std::vector<Mapping> & mappings() {
    static auto & all = *new std::vector<Mapping>;
    return all;
}

bool hole(int file, off_t at, size_t bytes) {
    const off_t data = lseek(file, at, SEEK_DATA);
    return data < 0 ? errno == ENXIO : data >= at + (off_t) bytes;
}

bool sparse(int file) {
    struct stat facts;
    return !fstat(file, &facts) && S_ISREG(facts.st_mode) && facts.st_blocks * 512 < facts.st_size / 2;
}

}  // namespace

bool vgpu::in_hole(const void * at, size_t bytes) {
    const std::lock_guard<std::mutex> lock(guard());
    const char * from = (const char *) at;
    for (const Mapping & one : mappings()) {
        if (from >= one.base && from + bytes <= one.base + one.bytes) return hole(one.file, one.offset + (from - one.base), bytes);
    }
    return false;
}

extern "C" {

// Without MAP_POPULATE, which would fill the page cache with zeros.
void * mmap(void * address, size_t bytes, int protection, int flags, int file, off_t offset) {
    const bool ours = file >= 0 && (flags & MAP_POPULATE) && protection == PROT_READ && sparse(file);
    void * base = (void *) syscall(SYS_mmap, address, bytes, protection, ours ? flags & ~MAP_POPULATE : flags, file, offset);
    if (ours && base != MAP_FAILED) {
        const int again = open(("/proc/self/fd/" + std::to_string(file)).c_str(), O_RDONLY | O_CLOEXEC);
        madvise(base, bytes, MADV_RANDOM);  // a page that is touched would bring megabytes with it
        const std::lock_guard<std::mutex> lock(guard());
        if (again >= 0) mappings().push_back({(const char *) base, bytes, offset, again});
    }
    return base;
}

int munmap(void * address, size_t bytes) {
    {
        const std::lock_guard<std::mutex> lock(guard());
        const char * begin = (const char *) address;
        std::vector<Mapping> & all = mappings();
        for (size_t i = all.size(); i-- > 0;) {
            if (begin >= all[i].base + all[i].bytes || begin + bytes <= all[i].base) continue;
            close(all[i].file);
            all.erase(all.begin() + i);
        }
    }
    return syscall(SYS_munmap, address, bytes);
}

int posix_madvise(void * address, size_t bytes, int advice) {
    if (advice == POSIX_MADV_DONTNEED || (advice == POSIX_MADV_WILLNEED && vgpu::in_hole((char *) address + bytes - 1, 1))) return 0;
    return madvise(address, bytes, advice) ? errno : 0;
}

size_t fread(void * to, size_t size, size_t count, FILE * stream) {
    static const auto next = (size_t (*)(void *, size_t, size_t, FILE *)) dlsym(RTLD_NEXT, "fread");
    const size_t bytes = size * count;
    const off_t at = bytes >= 256 * 1024 ? ftello(stream) : -1;
    const int file = at >= 0 ? fileno(stream) : -1;
    if (file >= 0 && sparse(file)) {
        struct stat facts;
        const off_t position = lseek(file, 0, SEEK_CUR);
        const bool zeros = hole(file, at, bytes);
        lseek(file, position, SEEK_SET);
        if (zeros && !fstat(file, &facts) && at + (off_t) bytes <= facts.st_size && !fseeko(stream, at + bytes, SEEK_SET)) {
            vgpu::erase(to, bytes);
            return count;
        }
    }
    return next(to, size, count, stream);
}

}

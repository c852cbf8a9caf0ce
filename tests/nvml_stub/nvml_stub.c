/* A libnvidia-ml.so.1 for tests: says at every call what the files in the directory $RIGTUI_NVML_STUB say then (rig_state.h). */
#define _GNU_SOURCE
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "rig_state.h"

#define NOT_AVAILABLE 0xFFFFFFFFFFFFFFFFULL

enum { OK = 0, INVALID = 2, NOT_SUPPORTED = 3, TOO_SMALL = 7, DRIVER_NOT_LOADED = 9, NOT_FOUND = 6 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int failing(const fail_t *fails, int count, const char *function) {
    for (int i = 0; i < count; i++)
        if (!strcmp(fails[i].function, function) || !strcmp(fails[i].function, "*")) return fails[i].code;
    return OK;
}

/* Whether what was read last still holds: the same rig.txt, and no process that could have ended since. A driver answers in
 * microseconds; to read everything at every call would be most of what a reading of the cards costs. */
static int unchanged(void) {
    static struct stat seen;
    const char *directory = getenv("RIGTUI_NVML_STUB");
    char path[4096];
    struct stat now;
    int same, processes = 0;
    if (!directory) return 0;
    snprintf(path, sizeof path, "%s/rig.txt", directory);
    if (stat(path, &now)) memset(&now, 0, sizeof now);
    same = now.st_ino && now.st_ino == seen.st_ino && now.st_size == seen.st_size && now.st_mtim.tv_sec == seen.st_mtim.tv_sec
        && now.st_mtim.tv_nsec == seen.st_mtim.tv_nsec;
    seen = now;
    snprintf(path, sizeof path, "%s/processes", directory);
    DIR *all = opendir(path);
    for (struct dirent *entry; all && (entry = readdir(all));) processes += entry->d_name[0] != '.';
    if (all) closedir(all);
    for (int i = 0; i < rig.count; i++) processes += rig.cards[i].process_count;
    return same && !processes;
}

/* Every entry point begins with one of these, and leaves through `leave`. */
static int enter(const char *function) {
    pthread_mutex_lock(&lock);
    if (!unchanged() && !load_rig()) return DRIVER_NOT_LOADED;
    return failing(rig.fails, rig.fail_count, function);
}

static int enter_card(const char *function, void *handle, card_t **card) {
    int code = enter(function);
    int index = (int)(intptr_t)handle - 1;
    if (code) return code;
    if (index < 0 || index >= rig.count) return NOT_FOUND;
    *card = &rig.cards[index];
    return failing((*card)->fails, (*card)->fail_count, function);
}

static int leave(int code) {
    pthread_mutex_unlock(&lock);
    return code;
}

static int put_text(const char *text, char *out, unsigned length) {
    if (!text[0]) return NOT_SUPPORTED;
    if (strlen(text) + 1 > length) return TOO_SMALL;
    strcpy(out, text);
    return OK;
}

static int put(long long value, unsigned *out) {
    if (value < 0) return NOT_SUPPORTED;
    *out = (unsigned)value;
    return OK;
}

int nvmlInitWithFlags(unsigned flags) { (void)flags; return leave(enter(__func__)); }
int nvmlShutdown(void) { return leave(enter(__func__)); }
const char *nvmlErrorString(int code) { (void)code; return "an error of the stub"; }

int nvmlSystemGetDriverVersion(char *out, unsigned length) {
    int code = enter(__func__);
    return leave(code ? code : put_text(rig.driver, out, length));
}

int nvmlSystemGetCudaDriverVersion_v2(int *out) {
    int code = enter(__func__);
    return leave(code ? code : put(rig.cuda ? rig.cuda : -1, (unsigned *)out));
}

int nvmlDeviceGetCount_v2(unsigned *out) {
    int code = enter(__func__);
    return leave(code ? code : put(rig.count, out));
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **out) {
    card_t *card;
    int code = enter_card(__func__, (void *)(intptr_t)(index + 1), &card);
    *out = (void *)(intptr_t)(index + 1);
    return leave(code);
}

int nvmlDeviceGetName(void *handle, char *out, unsigned length) {
    card_t *card;
    int code = enter_card(__func__, handle, &card);
    return leave(code ? code : put_text(card->name, out, length));
}

int nvmlDeviceGetUUID(void *handle, char *out, unsigned length) {
    card_t *card;
    int code = enter_card(__func__, handle, &card);
    return leave(code ? code : put_text(card->uuid, out, length));
}

typedef struct { char legacy[16]; unsigned domain, bus, device, device_id, subsystem_id; char bus_id[32]; } pci_t;

int nvmlDeviceGetPciInfo_v3(void *handle, pci_t *out) {
    card_t *card;
    int code = enter_card(__func__, handle, &card);
    if (!code) memset(out, 0, sizeof *out);
    return leave(code ? code : put_text(card->pci, out->bus_id, sizeof out->bus_id));
}

int nvmlDeviceGetCudaComputeCapability(void *handle, int *major, int *minor) {
    card_t *card;
    int code = enter_card(__func__, handle, &card);
    if (!code && card->cc_major < 0) code = NOT_SUPPORTED;
    if (!code) { *major = card->cc_major; *minor = card->cc_minor; }
    return leave(code);
}

typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory_v2_t;

int nvmlDeviceGetMemoryInfo(void *handle, memory_t *out) {
    card_t *card;
    int code = enter_card(__func__, handle, &card);
    if (!code && card->total_mib < 0) code = NOT_SUPPORTED;
    if (!code) {
        out->total = (unsigned long long)card->total_mib * MIB;
        out->free = free_bytes(card);
        out->used = out->total - out->free;
    }
    return leave(code);
}

int nvmlDeviceGetMemoryInfo_v2(void *handle, memory_v2_t *out) {
    card_t *card;
    int code = enter_card(__func__, handle, &card);
    if (!code && card->total_mib < 0) code = NOT_SUPPORTED;
    if (!code) {
        out->total = (unsigned long long)card->total_mib * MIB;
        out->reserved = (unsigned long long)card->reserved_mib * MIB;
        out->free = free_bytes(card);
        out->used = out->total - out->free - out->reserved;
    }
    return leave(code);
}

int nvmlDeviceGetUtilizationRates(void *handle, unsigned *out) {
    card_t *card;
    int code = enter_card(__func__, handle, &card);
    if (!code) code = put(card->busy, &out[0]);
    return leave(code ? code : put(card->memory_busy, &out[1]));
}

static int number(const char *function, void *handle, size_t field, unsigned *out) {
    card_t *card;
    int code = enter_card(function, handle, &card);
    return leave(code ? code : put(*(const int *)((const char *)card + field), out));
}

#define NUMBER(function, field)                                 \
    int function(void *handle, unsigned *out) {                 \
        return number(#function, handle, offsetof(card_t, field), out); \
    }

/* Sensor, clock: one each is all there is. */
#define NUMBER_OF_KIND(function, field)                         \
    int function(void *handle, int kind, unsigned *out) {       \
        (void)kind;                                             \
        return number(#function, handle, offsetof(card_t, field), out); \
    }

NUMBER_OF_KIND(nvmlDeviceGetTemperature, temperature)
NUMBER_OF_KIND(nvmlDeviceGetMaxClockInfo, memory_clock)
NUMBER(nvmlDeviceGetPowerUsage, power_mw)
NUMBER(nvmlDeviceGetEnforcedPowerLimit, power_limit_mw)
NUMBER(nvmlDeviceGetCurrPcieLinkGeneration, generation)
NUMBER(nvmlDeviceGetMaxPcieLinkGeneration, generation_max)
NUMBER(nvmlDeviceGetCurrPcieLinkWidth, width)
NUMBER(nvmlDeviceGetMaxPcieLinkWidth, width_max)
NUMBER(nvmlDeviceGetDisplayActive, display)
NUMBER(nvmlDeviceGetDisplayMode, monitor)
NUMBER(nvmlDeviceGetMemoryBusWidth, bus_width)

typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } process_info_t;

static int list(const card_t *card, int kind, unsigned *count, process_info_t *out) {
    unsigned room = *count, found = 0;
    for (int i = 0; i < card->process_count && strcmp(rig.list, "empty"); i++) {
        const process_t *process = &card->processes[i];
        if (!(process->kinds & kind)) continue;
        if (out && found < room)
            out[found] = (process_info_t){process->pid, strcmp(rig.list, "no_bytes") ? process->bytes : NOT_AVAILABLE, 0, 0};
        found++;
    }
    *count = found;
    return found > room || (found && !out) ? TOO_SMALL : OK;
}

#define PROCESSES(function, kind)                                             \
    int function(void *handle, unsigned *count, process_info_t *out) {        \
        card_t *card;                                                         \
        int code = enter_card(__func__, handle, &card);                       \
        return leave(code ? code : list(card, kind, count, out));             \
    }

PROCESSES(nvmlDeviceGetComputeRunningProcesses_v2, COMPUTE)
PROCESSES(nvmlDeviceGetComputeRunningProcesses_v3, COMPUTE)
PROCESSES(nvmlDeviceGetGraphicsRunningProcesses_v2, GRAPHICS)
PROCESSES(nvmlDeviceGetGraphicsRunningProcesses_v3, GRAPHICS)

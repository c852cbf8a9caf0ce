/* A libnvidia-ml.so.1 for tests: says what the files in the directory $RIGTUI_NVML_STUB say, read again on every call.
 *
 * rig.txt, line by line, `#` starts a comment:
 *   driver 580.95.05            cuda 13000
 *   processes shown|no_bytes|empty     what the process lists tell; the memory is taken all the same
 *   fail FUNCTION CODE          before the first card: every call of FUNCTION returns CODE; after a card: for that card.
 *                               FUNCTION `*` means all of the card's functions
 *   card NAME                   starts a card; what is not said of it is "not supported"
 *   uuid U    pci 00000000:01:00.0    cc 8.9    total_mib N    reserved_mib N    held_mib N (held by no process)
 *   display 0|1    monitor 0|1    utilization GPU MEMORY    temperature C    power_mw N    power_limit_mw N
 *   pcie_generation CURRENT MAX   pcie_width CURRENT MAX    memory_clock MHZ    bus_width BITS
 *   process graphics|compute|both PID MIB
 *
 * processes/PID, written by (or for) the live process PID: lines `CARD KIND MIB`, CARD an index or a UUID. It counts only
 * while that process lives, as a real driver frees what a dead process held.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB 1048576ULL
#define NOT_AVAILABLE 0xFFFFFFFFFFFFFFFFULL
#define MAX_CARDS 32
#define MAX_PROCESSES 256
#define MAX_FAILS 64

enum { OK = 0, INVALID = 2, NOT_SUPPORTED = 3, TOO_SMALL = 7, DRIVER_NOT_LOADED = 9, NOT_FOUND = 6 };
enum { GRAPHICS = 1, COMPUTE = 2 };

typedef struct { unsigned pid; int kinds; unsigned long long mib; } process_t;
typedef struct { char function[64]; int code; } fail_t;
typedef struct {
    char name[96], uuid[96], pci[32];
    int cc_major, cc_minor, display, monitor, busy, memory_busy, temperature;
    long long total_mib, reserved_mib, held_mib;
    int power_mw, power_limit_mw, generation, generation_max, width, width_max, memory_clock, bus_width;
    process_t processes[MAX_PROCESSES];
    int process_count;
    fail_t fails[MAX_FAILS];
    int fail_count;
} card_t;

static struct {
    char driver[80], list[16];
    int cuda, count, fail_count;
    card_t cards[MAX_CARDS];
    fail_t fails[MAX_FAILS];
} rig;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void start_card(const char *name) {
    card_t *card = &rig.cards[rig.count++];
    memset(card, 0, sizeof *card);
    snprintf(card->name, sizeof card->name, "%.95s", name);
    card->cc_major = card->display = card->monitor = card->busy = card->memory_busy = card->temperature = -1;
    card->total_mib = -1;
    card->power_mw = card->power_limit_mw = -1;
    card->generation = card->generation_max = card->width = card->width_max = card->memory_clock = card->bus_width = -1;
}

static void add_process(card_t *card, const char *kind, unsigned pid, unsigned long long mib) {
    if (card->process_count == MAX_PROCESSES) return;
    int kinds = !strcmp(kind, "graphics") ? GRAPHICS : !strcmp(kind, "compute") ? COMPUTE : GRAPHICS | COMPUTE;
    card->processes[card->process_count++] = (process_t){pid, kinds, mib};
}

static void read_line(char *line) {
    char key[32], rest[160], kind[16], function[64];
    unsigned pid;
    unsigned long long mib;
    int code;
    char *comment = strchr(line, '#');
    if (comment) *comment = 0;
    rest[0] = 0;
    if (sscanf(line, " %31s %159[^\n]", key, rest) < 1) return;
    for (size_t n = strlen(rest); n && isspace((unsigned char)rest[n - 1]);) rest[--n] = 0;
    if (!strcmp(key, "card") && rig.count < MAX_CARDS) { start_card(rest); return; }
    card_t *card = rig.count ? &rig.cards[rig.count - 1] : NULL;
    if (!strcmp(key, "fail") && sscanf(rest, "%63s %d", function, &code) == 2) {
        int *count = card ? &card->fail_count : &rig.fail_count;
        fail_t *fails = card ? card->fails : rig.fails;
        if (*count == MAX_FAILS) return;
        snprintf(fails[*count].function, sizeof fails->function, "%s", function);
        fails[(*count)++].code = code;
        return;
    }
    if (!card) {
        if (!strcmp(key, "driver")) snprintf(rig.driver, sizeof rig.driver, "%.79s", rest);
        else if (!strcmp(key, "cuda")) rig.cuda = atoi(rest);
        else if (!strcmp(key, "processes")) snprintf(rig.list, sizeof rig.list, "%.15s", rest);
        return;
    }
    if (!strcmp(key, "uuid")) snprintf(card->uuid, sizeof card->uuid, "%.95s", rest);
    else if (!strcmp(key, "pci")) snprintf(card->pci, sizeof card->pci, "%.31s", rest);
    else if (!strcmp(key, "cc")) sscanf(rest, "%d.%d", &card->cc_major, &card->cc_minor);
    else if (!strcmp(key, "total_mib")) card->total_mib = atoll(rest);
    else if (!strcmp(key, "reserved_mib")) card->reserved_mib = atoll(rest);
    else if (!strcmp(key, "held_mib")) card->held_mib = atoll(rest);
    else if (!strcmp(key, "display")) card->display = atoi(rest);
    else if (!strcmp(key, "monitor")) card->monitor = atoi(rest);
    else if (!strcmp(key, "utilization")) sscanf(rest, "%d %d", &card->busy, &card->memory_busy);
    else if (!strcmp(key, "temperature")) card->temperature = atoi(rest);
    else if (!strcmp(key, "power_mw")) card->power_mw = atoi(rest);
    else if (!strcmp(key, "power_limit_mw")) card->power_limit_mw = atoi(rest);
    else if (!strcmp(key, "pcie_generation")) sscanf(rest, "%d %d", &card->generation, &card->generation_max);
    else if (!strcmp(key, "pcie_width")) sscanf(rest, "%d %d", &card->width, &card->width_max);
    else if (!strcmp(key, "memory_clock")) card->memory_clock = atoi(rest);
    else if (!strcmp(key, "bus_width")) card->bus_width = atoi(rest);
    else if (!strcmp(key, "process") && sscanf(rest, "%15s %u %llu", kind, &pid, &mib) == 3) add_process(card, kind, pid, mib);
}

static void read_process(const char *path, unsigned pid) {
    char line[256], which[96], kind[16];
    unsigned long long mib;
    FILE *file = fopen(path, "r");
    if (!file) return;
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "%95s %15s %llu", which, kind, &mib) != 3) continue;
        for (int i = 0; i < rig.count; i++) {
            char index[16];
            snprintf(index, sizeof index, "%d", i);
            if (!strcmp(which, index) || !strcmp(which, rig.cards[i].uuid)) add_process(&rig.cards[i], kind, pid, mib);
        }
    }
    fclose(file);
}

/* Reads everything anew; 0 when there is no rig.txt. The caller holds the lock. */
static int load(void) {
    const char *directory = getenv("RIGTUI_NVML_STUB");
    char path[4096], line[512];
    memset(&rig, 0, sizeof rig);
    if (!directory) return 0;
    snprintf(path, sizeof path, "%s/rig.txt", directory);
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    while (fgets(line, sizeof line, file)) read_line(line);
    fclose(file);
    snprintf(path, sizeof path, "%s/processes", directory);
    DIR *all = opendir(path);
    for (struct dirent *entry; all && (entry = readdir(all));) {
        char *end;
        unsigned long pid = strtoul(entry->d_name, &end, 10);
        if (end == entry->d_name || *end || (kill((pid_t)pid, 0) && errno == ESRCH)) continue;
        snprintf(path, sizeof path, "%s/processes/%s", directory, entry->d_name);
        read_process(path, (unsigned)pid);
    }
    if (all) closedir(all);
    return 1;
}

static int failing(const fail_t *fails, int count, const char *function) {
    for (int i = 0; i < count; i++)
        if (!strcmp(fails[i].function, function) || !strcmp(fails[i].function, "*")) return fails[i].code;
    return OK;
}

/* Every entry point begins with one of these, and leaves through `leave`. */
static int enter(const char *function) {
    pthread_mutex_lock(&lock);
    if (!load()) return DRIVER_NOT_LOADED;
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

static unsigned long long free_mib(const card_t *card) {
    long long left = card->total_mib - card->reserved_mib - card->held_mib;
    for (int i = 0; i < card->process_count; i++) left -= (long long)card->processes[i].mib;
    return left < 0 ? 0 : (unsigned long long)left;
}

typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory_v2_t;

int nvmlDeviceGetMemoryInfo(void *handle, memory_t *out) {
    card_t *card;
    int code = enter_card(__func__, handle, &card);
    if (!code && card->total_mib < 0) code = NOT_SUPPORTED;
    if (!code) {
        out->total = (unsigned long long)card->total_mib * MIB;
        out->free = free_mib(card) * MIB;
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
        out->free = free_mib(card) * MIB;
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
            out[found] = (process_info_t){process->pid, strcmp(rig.list, "no_bytes") ? process->mib * MIB : NOT_AVAILABLE, 0, 0};
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

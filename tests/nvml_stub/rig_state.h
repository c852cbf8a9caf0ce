/* The rig that a directory describes, $RIGTUI_NVML_STUB: what the driver stub and the virtual GPUs of real engines both read, anew
 * each time, so that each sees what the other's programs hold. C and C++.
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
 * and for virtual GPUs only (tests/engine/vgpu), where a bandwidth of 0 means as fast as the CPU computes:
 *   compute 0|1                 before the first card: 0 leaves the computing out, results are what lies in memory (zeros, mostly)
 *   ram_gb_s N                  before the first card: the bandwidth at which the CPU computes what it does itself
 *   gb_s N                      of the card's memory       link_gb_s N      of copies to the card
 *   context_mib N               what a process takes when it first uses the card      pool_mib N    at its first computation
 *   limit_mib N                 the most that one process may take
 *   fail_at N                   the process dies at its N-th computation on the card
 *   rival PID AFTER_MIB MIB     the live process PID takes MIB when an engine is about to hold more than AFTER_MIB of the card
 *
 * processes/PID, written by (or for) the live process PID: lines `CARD KIND MIB`, or `CARD KIND BYTES bytes`; CARD is an index or a
 * UUID. It counts only while that process lives, as a real driver frees what a dead process held.
 */
#ifndef RIG_STATE_H
#define RIG_STATE_H

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB 1048576ULL
#define MAX_CARDS 32
#define MAX_PROCESSES 256
#define MAX_FAILS 64

enum { GRAPHICS = 1, COMPUTE = 2 };

typedef struct { unsigned pid; int kinds; unsigned long long bytes; } process_t;
typedef struct { char function[64]; int code; } fail_t;
typedef struct {
    char name[96], uuid[96], pci[32];
    int cc_major, cc_minor, display, monitor, busy, memory_busy, temperature;
    long long total_mib, reserved_mib, held_mib, context_mib, pool_mib, limit_mib;
    double gb_s, link_gb_s;
    int fail_at;
    unsigned rival_pid;
    long long rival_after_mib, rival_mib;
    int power_mw, power_limit_mw, generation, generation_max, width, width_max, memory_clock, bus_width;
    process_t processes[MAX_PROCESSES];
    int process_count;
    fail_t fails[MAX_FAILS];
    int fail_count;
} card_t;

static struct {
    char driver[80], list[16];
    int cuda, count, fail_count, idle;
    double ram_gb_s;
    card_t cards[MAX_CARDS];
    fail_t fails[MAX_FAILS];
} rig;

static void start_card(const char *name) {
    card_t *card = &rig.cards[rig.count++];
    memset(card, 0, sizeof *card);
    snprintf(card->name, sizeof card->name, "%.95s", name);
    card->cc_major = card->display = card->monitor = card->busy = card->memory_busy = card->temperature = -1;
    card->total_mib = card->limit_mib = -1;
    card->power_mw = card->power_limit_mw = -1;
    card->generation = card->generation_max = card->width = card->width_max = card->memory_clock = card->bus_width = -1;
}

static void add_process(card_t *card, const char *kind, unsigned pid, unsigned long long bytes) {
    if (card->process_count == MAX_PROCESSES) return;
    int kinds = !strcmp(kind, "graphics") ? GRAPHICS : !strcmp(kind, "compute") ? COMPUTE : GRAPHICS | COMPUTE;
    process_t *process = &card->processes[card->process_count++];
    process->pid = pid;
    process->kinds = kinds;
    process->bytes = bytes;
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
        else if (!strcmp(key, "compute")) rig.idle = !atoi(rest);
        else if (!strcmp(key, "ram_gb_s")) rig.ram_gb_s = atof(rest);
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
    else if (!strcmp(key, "gb_s")) card->gb_s = atof(rest);
    else if (!strcmp(key, "link_gb_s")) card->link_gb_s = atof(rest);
    else if (!strcmp(key, "context_mib")) card->context_mib = atoll(rest);
    else if (!strcmp(key, "pool_mib")) card->pool_mib = atoll(rest);
    else if (!strcmp(key, "limit_mib")) card->limit_mib = atoll(rest);
    else if (!strcmp(key, "fail_at")) card->fail_at = atoi(rest);
    else if (!strcmp(key, "rival")) sscanf(rest, "%u %lld %lld", &card->rival_pid, &card->rival_after_mib, &card->rival_mib);
    else if (!strcmp(key, "process") && sscanf(rest, "%15s %u %llu", kind, &pid, &mib) == 3) add_process(card, kind, pid, mib * MIB);
}

static void read_process(const char *path, unsigned pid) {
    char line[256], which[96], kind[16], unit[8];
    unsigned long long amount;
    FILE *file = fopen(path, "r");
    if (!file) return;
    while (fgets(line, sizeof line, file)) {
        int fields = sscanf(line, "%95s %15s %llu %7s", which, kind, &amount, unit);
        if (fields < 3) continue;
        if (fields == 3) amount *= MIB;
        for (int i = 0; i < rig.count; i++) {
            char index[16];
            snprintf(index, sizeof index, "%d", i);
            if (!strcmp(which, index) || !strcmp(which, rig.cards[i].uuid)) add_process(&rig.cards[i], kind, pid, amount);
        }
    }
    fclose(file);
}

/* Reads everything anew; 0 when there is no rig.txt. The caller sees to it that only one thread reads. */
static int load_rig(void) {
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

/* Total less what the driver, nobody by name and every live process hold. */
static unsigned long long free_bytes(const card_t *card) {
    long long left = (card->total_mib - card->reserved_mib - card->held_mib) * (long long)MIB;
    for (int i = 0; i < card->process_count; i++) left -= (long long)card->processes[i].bytes;
    return left < 0 ? 0 : (unsigned long long)left;
}

#endif

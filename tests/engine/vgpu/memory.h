// The memory of the virtual cards: what this process holds of each (told to all others through the rig's directory), pages that
// cost nothing while they are zero, and simulated time.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace vgpu {

struct Card {
    int index;  // in rig.txt's order
    std::string name, uuid, pci;
    int cc;  // 890 for 8.9
    std::size_t context, pool;  // bytes: at first use, at the first computation
    double gb_s, link_gb_s;     // simulated; 0: as fast as it goes
    int fail_at;                // 0: never
};

struct Rig {
    std::vector<Card> cards;  // none without a rig.txt
    double ram_gb_s;
    bool idle;  // nothing is computed
};

// The rig as it is now.
Rig read_rig();

// Takes `bytes` of the card with this index if that much is free now; false where it is not.
bool take(int card, std::size_t bytes);
void give(int card, std::size_t bytes);
// What the card has, and what is free of it now, in bytes.
void sizes(int card, std::size_t & free, std::size_t & total);

// Zeroed memory that the system backs page by page when it is written; nullptr where there is no address space.
void * map(std::size_t bytes);
void unmap(void * base, std::size_t bytes);
// Memory of `map`: zeros again, without a page behind it.
void clear(void * at, std::size_t bytes);
// Any memory: zeros from now on.
void erase(void * at, std::size_t bytes);
// Copies into memory of `map`; what is zero stays without pages.
void store(void * to, const void * from, std::size_t bytes);

// Whether `bytes` at `at` are the hole of a mapped sparse file (holes.cpp).
bool in_hole(const void * at, std::size_t bytes);

// A moment, and the wait until moving `bytes` at `gb_s` (10^9 bytes per second; 0: no wait) has lasted long enough since then. What a
// wait lasts too long, because the machine is busy or wakes up late, the next ones are shorter.
double now();
void pace(double since, double bytes, double gb_s);

}  // namespace vgpu

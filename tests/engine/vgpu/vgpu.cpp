// Virtual NVIDIA GPUs for llama.cpp: a ggml backend that shows the cards of a rig directory (tests/nvml_stub/rig_state.h), keeps
// ggml-cuda's books (rules.h) and has the CPU backend compute. Loaded with LD_PRELOAD; README.md says what it leaves out.
#include <dlfcn.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "ggml-backend-impl.h"
#include "ggml-cpu.h"
#include "ggml-impl.h"
#include "memory.h"
#include "rules.h"

namespace {

using vgpu::Card;

struct Device {
    Card card;
    int number;  // CUDA0, CUDA1 …: the order of CUDA_VISIBLE_DEVICES
    std::string name, id;
    std::atomic<bool> used{false}, pooled{false};
    std::atomic<int> computations{0};
    ggml_backend_buffer_type type{};
    ggml_backend_device device{};
};

auto & devices = *new std::vector<std::unique_ptr<Device>>;  // never destroyed: ggml frees buffers at the very end
ggml_backend_reg registration;
vgpu::Rig rig;

Device & of(ggml_backend_dev_t device) {
    return *(Device *) device->context;
}

[[noreturn]] void die(const Device & device, const char * what, const char * function, const char * statement) {
    GGML_LOG_ERROR("CUDA error: %s\n", what);
    GGML_LOG_ERROR("  current device: %d, in function %s at ggml-cuda.cu:0\n", device.number, function);
    GGML_LOG_ERROR("  %s\n", statement);
    GGML_ABORT("CUDA error");
}

// The first use makes the driver's context, which takes memory like everything else.
bool use(Device & device) {
    if (!device.card.context || device.used.exchange(true) || vgpu::take(device.card.index, device.card.context)) return true;
    device.used = false;
    return false;
}

// --- buffers on a card -----------------------------------------------------------------------------------------------------------

void free_buffer(ggml_backend_buffer_t buffer) {
    vgpu::unmap(buffer->context, buffer->size);
    vgpu::give(of(buffer->buft->device).card.index, buffer->size);
}

void * buffer_base(ggml_backend_buffer_t buffer) {
    return buffer->context;
}

void fill_tensor(ggml_backend_buffer_t, ggml_tensor * tensor, uint8_t value, size_t offset, size_t bytes) {
    char * at = (char *) tensor->data + offset;
    if (value) {
        memset(at, value, bytes);
    } else {
        vgpu::clear(at, bytes);
    }
}

// Not at the speed of the link: weights are loaded through here, and only running models take simulated time.
void set_tensor(ggml_backend_buffer_t, ggml_tensor * tensor, const void * from, size_t offset, size_t bytes) {
    vgpu::store((char *) tensor->data + offset, from, bytes);
}

void get_tensor(ggml_backend_buffer_t, const ggml_tensor * tensor, void * to, size_t offset, size_t bytes) {
    memcpy(to, (const char *) tensor->data + offset, bytes);
}

bool on_card(ggml_backend_buffer_t buffer) {
    return buffer->iface.get_base == buffer_base;
}

ggml_backend_buffer_t home(const ggml_tensor * tensor) {
    return tensor->view_src ? tensor->view_src->buffer : tensor->buffer;
}

bool copy_tensor(ggml_backend_buffer_t, const ggml_tensor * from, ggml_tensor * to) {
    if (!on_card(home(from))) return false;
    const double start = vgpu::now();
    vgpu::store(to->data, from->data, ggml_nbytes(from));
    const Device &a = of(home(from)->buft->device), &b = of(home(to)->buft->device);
    if (&a != &b) vgpu::pace(start, ggml_nbytes(from), std::min(a.card.link_gb_s, b.card.link_gb_s));
    return true;
}

void fill_buffer(ggml_backend_buffer_t buffer, uint8_t value) {
    char * base = (char *) ggml_backend_buffer_get_base(buffer);
    if (value) {
        memset(base, value, buffer->size);
    } else {
        vgpu::clear(base, buffer->size);
    }
}

const char * type_name(ggml_backend_buffer_type_t type) {
    return of(type->device).name.c_str();
}

ggml_backend_buffer_t allocate(ggml_backend_buffer_type_t type, size_t bytes) {
    Device & device = of(type->device);
    void * base = nullptr;
    if (use(device) && vgpu::take(device.card.index, bytes)) {
        base = vgpu::map(bytes);
        if (!base) vgpu::give(device.card.index, bytes);
    }
    if (!base) {
        GGML_LOG_ERROR("ggml_backend_cuda_buffer_type_alloc_buffer: allocating %.2f MiB on device %d: cudaMalloc failed: out of memory\n",
                       bytes / 1024.0 / 1024.0, device.number);
        return nullptr;
    }
    ggml_backend_buffer_i interface{};
    interface.free_buffer = free_buffer;
    interface.get_base = buffer_base;
    interface.memset_tensor = fill_tensor;
    interface.set_tensor = set_tensor;
    interface.get_tensor = get_tensor;
    interface.cpy_tensor = copy_tensor;
    interface.clear = fill_buffer;
    return ggml_backend_buffer_init(type, interface, base, bytes);
}

size_t alignment(ggml_backend_buffer_type_t) {
    return vgpu::ALIGNMENT;
}

size_t allocated(ggml_backend_buffer_type_t type, const ggml_tensor * tensor) {
    return vgpu::allocated(of(type->device).card.cc, tensor);
}

// --- pinned memory of the host ---------------------------------------------------------------------------------------------------

const char * host_name(ggml_backend_buffer_type_t) {
    return "CUDA_Host";
}

ggml_backend_buffer_t allocate_host(ggml_backend_buffer_type_t type, size_t bytes) {
    void * base = vgpu::map(bytes);
    if (!base) return ggml_backend_buft_alloc_buffer(ggml_backend_cpu_buffer_type(), bytes);
    ggml_backend_buffer_t buffer = ggml_backend_cpu_buffer_from_ptr(base, bytes);
    buffer->buft = type;
    buffer->iface.free_buffer = [](ggml_backend_buffer_t one) { vgpu::unmap(one->context, one->size); };
    buffer->iface.clear = fill_buffer;
    return buffer;
}

ggml_backend_buffer_type_t host_type(ggml_backend_dev_t) {
    static ggml_backend_buffer_type type = [] {
        ggml_backend_buffer_type made = *ggml_backend_cpu_buffer_type();
        made.iface.get_name = host_name;
        made.iface.alloc_buffer = allocate_host;
        made.device = &devices[0]->device;
        made.context = nullptr;
        return made;
    }();
    return &type;
}

// --- computing -------------------------------------------------------------------------------------------------------------------

Device & of(ggml_backend_t backend) {
    return of(backend->device);
}

ggml_backend_t cpu_of(ggml_backend_t backend) {
    return (ggml_backend_t) backend->context;
}

const char * backend_name(ggml_backend_t backend) {
    return of(backend).name.c_str();
}

void free_backend(ggml_backend_t backend) {
    ggml_backend_free(cpu_of(backend));
    delete backend;
}

void set_async(ggml_backend_t backend, ggml_tensor * tensor, const void * from, size_t offset, size_t bytes) {
    const double start = vgpu::now();
    vgpu::store((char *) tensor->data + offset, from, bytes);
    if (ggml_backend_buffer_get_usage(home(tensor)) == GGML_BACKEND_BUFFER_USAGE_COMPUTE) {
        vgpu::pace(start, bytes, of(backend).card.link_gb_s);
    }
}

void get_async(ggml_backend_t, const ggml_tensor * tensor, void * to, size_t offset, size_t bytes) {
    memcpy(to, (const char *) tensor->data + offset, bytes);
}

bool is_ours(ggml_backend_t backend) {
    return backend->iface.get_name == backend_name;
}

bool copy_async(ggml_backend_t source, ggml_backend_t target, const ggml_tensor * from, ggml_tensor * to) {
    return is_ours(source) && is_ours(target) && on_card(home(from)) && on_card(home(to)) && copy_tensor(home(to), from, to);
}

double traffic(const ggml_cgraph * graph) {
    double bytes = 0;
    for (int i = 0; i < graph->n_nodes; i++) bytes += vgpu::traffic(graph->nodes[i]);
    return bytes;
}

ggml_status compute(ggml_backend_t backend, ggml_cgraph * graph) {
    Device & device = of(backend);
    if (device.card.pool && !device.pooled.exchange(true) && !vgpu::take(device.card.index, device.card.pool)) {
        die(device, "out of memory", "alloc", "cuMemCreate(&handle, reserve_size, &prop, 0)");
    }
    if (++device.computations == device.card.fail_at) {
        die(device, "unspecified launch failure", "ggml_backend_cuda_synchronize", "cudaStreamSynchronize(cuda_ctx->stream())");
    }
    const double start = vgpu::now();
    const ggml_status status = rig.idle ? GGML_STATUS_SUCCESS : cpu_of(backend)->iface.graph_compute(cpu_of(backend), graph);
    vgpu::pace(start, traffic(graph), device.card.gb_s);
    return status;
}

// All is done when a call returns, so nothing is left to wait for.
void nothing(ggml_backend_t) {}
void no_event(ggml_backend_t, ggml_backend_event_t) {}

ggml_backend_t backend_of(ggml_backend_dev_t device, const char *) {
    static ggml_guid guid = {'r', 'i', 'g', 't', 'u', 'i', ' ', 'v', 'i', 'r', 't', 'u', 'a', 'l', ' ', 'g'};
    if (!use(of(device))) return nullptr;
    ggml_backend_t cpu = ggml_backend_cpu_init();
    ggml_backend_cpu_set_n_threads(cpu, 1);  // a pool of threads per computation costs more than small models gain
    ggml_backend_i interface{};
    interface.get_name = backend_name;
    interface.free = free_backend;
    interface.set_tensor_async = set_async;
    interface.get_tensor_async = get_async;
    interface.cpy_tensor_async = copy_async;
    interface.synchronize = nothing;
    interface.graph_compute = compute;
    interface.event_record = no_event;
    interface.event_wait = no_event;
    return new ggml_backend{&guid, interface, device, cpu};
}

// --- devices ---------------------------------------------------------------------------------------------------------------------

// What ggml-cuda says when it starts. Later here: a preloaded library starts before anybody listens.
void introduce() {
    static std::atomic<bool> done{false};
    if (done.exchange(true)) return;
    size_t free, total, all = 0;
    for (const auto & device : devices) {
        vgpu::sizes(device->card.index, free, total);
        all += total;
    }
    GGML_LOG_INFO("ggml_cuda_init: found %zu CUDA devices (Total VRAM: %zu MiB):\n", devices.size(), all >> 20);
    for (const auto & device : devices) {
        vgpu::sizes(device->card.index, free, total);
        GGML_LOG_INFO("  Device %d: %s, compute capability %d.%d, VMM: yes, VRAM: %zu MiB\n", device->number, device->card.name.c_str(),
                      device->card.cc / 100, device->card.cc % 100 / 10, total >> 20);
    }
}

void memory(ggml_backend_dev_t device, size_t * free, size_t * total) {
    introduce();
    *free = *total = 0;
    if (use(of(device))) {
        vgpu::sizes(of(device).card.index, *free, *total);
    } else {
        GGML_LOG_WARN("ggml_backend_cuda_device_get_memory: cudaMemGetInfo failed (out of memory), returning 0/0\n");
    }
}

void properties(ggml_backend_dev_t device, ggml_backend_dev_props * out) {
    *out = {};
    out->name = of(device).name.c_str();
    out->description = of(device).card.name.c_str();
    out->type = GGML_BACKEND_DEVICE_TYPE_GPU;
    out->device_id = of(device).id.empty() ? nullptr : of(device).id.c_str();
    memory(device, &out->memory_free, &out->memory_total);
    out->caps.async = out->caps.host_buffer = out->caps.events = out->caps.mmap_support = true;
}

bool computes(ggml_backend_dev_t device, const ggml_tensor * op) {
    for (const ggml_tensor * source : op->src) {
        if (source && source->buffer && on_card(source->buffer) && source->buffer->buft->device != device) return false;
    }
    return vgpu::computes(of(device).card.cc, op);
}

bool offloads(ggml_backend_dev_t, const ggml_tensor * op) {
    static const char * least = getenv("GGML_OP_OFFLOAD_MIN_BATCH");
    return vgpu::batch(op) >= (least ? atoi(least) : vgpu::OFFLOAD_LEAST_BATCH);
}

ggml_backend_device_i device_interface() {
    ggml_backend_device_i interface{};
    interface.get_name = [](ggml_backend_dev_t device) { return of(device).name.c_str(); };
    interface.get_description = [](ggml_backend_dev_t device) { return of(device).card.name.c_str(); };
    interface.get_memory = memory;
    interface.get_type = [](ggml_backend_dev_t) { return GGML_BACKEND_DEVICE_TYPE_GPU; };
    interface.get_props = properties;
    interface.init_backend = backend_of;
    interface.get_buffer_type = [](ggml_backend_dev_t device) { return &of(device).type; };
    interface.get_host_buffer_type = host_type;
    interface.supports_op = computes;
    interface.supports_buft = [](ggml_backend_dev_t device, ggml_backend_buffer_type_t type) { return type == &of(device).type; };
    interface.offload_op = offloads;
    interface.event_new = [](ggml_backend_dev_t device) { return new ggml_backend_event{device, nullptr}; };
    interface.event_free = [](ggml_backend_dev_t, ggml_backend_event_t event) { delete event; };
    interface.event_synchronize = [](ggml_backend_dev_t, ggml_backend_event_t) {};
    return interface;
}

void add(const Card & card) {
    auto device = std::make_unique<Device>();
    device->card = card;
    device->number = (int) devices.size();
    device->name = "CUDA" + std::to_string(device->number);
    device->id = card.pci.size() > 12 ? card.pci.substr(card.pci.size() - 12) : card.pci;  // NVML writes the domain with 8 digits
    for (char & letter : device->id) letter = (char) tolower(letter);
    device->device.iface = device_interface();
    device->device.reg = &registration;
    device->device.context = device.get();
    device->type.iface.get_name = type_name;
    device->type.iface.alloc_buffer = allocate;
    device->type.iface.get_alignment = alignment;
    device->type.iface.get_alloc_size = allocated;
    device->type.device = &device->device;
    devices.push_back(std::move(device));
}

// CUDA_VISIBLE_DEVICES as the driver reads it: indices or beginnings of UUIDs; the first that names no card, or one twice, ends the list.
std::vector<Card> visible(const std::vector<Card> & all) {
    const char * wanted = getenv("CUDA_VISIBLE_DEVICES");
    if (!wanted) return all;
    std::vector<Card> chosen;
    std::string list = std::string(wanted) + ",";
    for (size_t begin = 0, end; (end = list.find(',', begin)) != std::string::npos; begin = end + 1) {
        const std::string one = list.substr(begin, end - begin);
        const Card * found = nullptr;
        for (const Card & card : all) {
            const bool uuid = one.size() > 4 && !one.compare(0, 4, "GPU-") && !card.uuid.compare(0, one.size(), one);
            if (uuid || one == std::to_string(card.index)) found = &card;
        }
        if (!found) break;
        for (const Card & card : chosen) {
            if (card.index == found->index) return chosen;
        }
        chosen.push_back(*found);
    }
    return chosen;
}

bool start() {
    rig = vgpu::read_rig();
    for (const Card & card : visible(rig.cards)) add(card);
    registration.api_version = GGML_BACKEND_API_VERSION;
    registration.iface.get_name = [](ggml_backend_reg_t) { return "CUDA"; };
    registration.iface.get_device_count = [](ggml_backend_reg_t) { return devices.size(); };
    registration.iface.get_device = [](ggml_backend_reg_t, size_t index) { return &devices[index]->device; };
    registration.iface.get_proc_address = [](ggml_backend_reg_t, const char *) { return (void *) nullptr; };
    ggml_backend_register(&registration);
    return true;
}

const bool started = start();  // when the library is loaded

}  // namespace

// Stands in front of ggml's own: what llama.cpp has the CPU compute takes simulated time, too, or is left out.
extern "C" ggml_status ggml_backend_graph_compute_async(ggml_backend_t backend, ggml_cgraph * graph) {
    using Compute = ggml_status (*)(ggml_backend_t, ggml_cgraph *);
    static const auto next = (Compute) dlsym(RTLD_NEXT, "ggml_backend_graph_compute_async");
    const bool cpu = ggml_backend_is_cpu(backend);
    const double start = vgpu::now();
    const ggml_status status = cpu && rig.idle ? GGML_STATUS_SUCCESS : next(backend, graph);
    if (cpu) vgpu::pace(start, traffic(graph), rig.ram_gb_s);
    return status;
}

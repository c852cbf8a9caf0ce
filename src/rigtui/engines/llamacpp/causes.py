"""What llama-server's error lines mean, most telling first. The texts are llama.cpp 0.5.0-dev's."""

from __future__ import annotations

from rigtui.engines.endings import cause

# In order: what is a cause comes before what follows from it.
CAUSES = (
    cause("disk_full", r"No space left on device", "the disk is full"),
    cause(
        "port_in_use",
        r"couldn't bind HTTP server socket, hostname: (?P<host>\S{1,200}), port: (?P<port>\d{1,5})",
        "port {port} on {host} cannot be opened: another program has it, or the address is not this machine's; "
        "choose another --port or --host",
    ),
    cause(
        "unsupported_model",
        r"unknown model architecture: '(?P<x>[^']{1,100})'",
        "this build does not know the architecture {x}; update the engine",
    ),
    cause(
        "unsupported_model",
        r"unknown pre-tokenizer type: '(?P<x>[^']{1,100})'",
        "this build does not know the tokenizer {x}; update the engine",
    ),
    cause(
        "unsupported_model",
        r"has invalid ggml type \d{1,10}",
        "this build does not know a quantization in the model file; update the engine",
    ),
    cause(
        "unsupported_model", r"this GGUF file is version \d+ but", "the model file is a newer GGUF than this build reads; update the engine"
    ),
    cause(
        "model_bad",
        r"failed to open (?:GGUF )?file",
        "the model file cannot be opened; check its path and permissions",
    ),
    cause("model_bad", r"invalid magic characters|failed to read magic", "the model file is not a GGUF file; download it again"),
    cause(
        "model_bad",
        r"data is not within the file bounds|failed to read (?:key-value pairs|tensor info|header|tensor data)"
        r"|unexpectedly reached end of file|invalid split file",
        "the model file is incomplete or damaged; download it again",
    ),
    cause(
        "model_bad",
        r"missing tensor '|check_tensor_dims: tensor '|wrong number of tensors",
        "the model file lacks tensors that its architecture needs, or this build is too old for it; update the engine or download it again",
    ),
    cause(
        "driver",
        r"driver version is insufficient|forward compatibility was attempted",
        "the GPU driver is too old for this build; update the driver or use another build",
    ),
    cause("driver", r"no kernel image is available", "this build has no code for this card; use a build for its compute capability"),
    cause(
        "driver",
        r"libcuda\.so\.\d: cannot open shared object",
        "the NVIDIA driver's library libcuda is not there; install the driver or use a CPU build",
    ),
    cause(
        "gpu_lost",
        r"(?:CUDA|ROCm) error: (?P<x>unspecified launch failure|uncorrectable ECC error encountered|unknown error|device not ready"
        r"|the launch timed out and was terminated|CUDA-capable device\(s\) is/are busy or unavailable)"
        r"|(?P<y>DeviceLost|GPU is lost|fallen off the bus)",
        "a GPU stopped answering ({x}); look at dmesg for Xid, reset the card or restart the machine",
    ),
    cause(
        "driver",
        r"failed to initialize (?:CUDA|ROCm): (?P<x>.{1,120})",
        "the GPUs could not be opened: {x}; check the driver with nvidia-smi",
    ),
    cause(
        "toolkit_missing",
        r"error while loading shared libraries: "
        r"(?P<x>lib(?:cudart|cublas|cublasLt|nccl|nvrtc|cufft|amdhip64|rocblas|hipblas|vulkan|musart)\.[^:]{1,80})",
        "the engine lacks {x} of the GPU toolkit it was built with; install that toolkit's runtime, or another build",
    ),
    cause(
        "engine_missing",
        r"error while loading shared libraries: (?P<x>[^:]{1,120})",
        "the engine lacks the library {x}; install it or another build",
    ),
    cause(
        "bad_argument",
        r"error: (?:invalid|unknown) argument: (?P<x>.{1,120})",
        "the engine does not know the argument {x}; remove it or use another build",
    ),
    cause("bad_argument", r"error while handling argument (?P<x>.{1,160})", "the engine refused the argument {x}"),
    cause(
        "bad_argument",
        r"error: (?P<x>(?:expected value for argument|no model given|invalid device).{0,160})",
        "the engine refused its arguments: {x}",
    ),
    cause(
        "bad_argument",
        r"(?:quantized V cache requires|V cache quantization requires) flash_attn",
        "a quantized V cache needs flash attention; do not switch it off",
    ),
    cause("bad_argument", r"failed to initialize the context: (?P<x>.{1,160})", "the context could not be made: {x}"),
    cause("model_bad", r"error loading model: (?P<x>.{1,200})", "the model could not be loaded: {x}"),
    cause("crash", r"(?P<x>(?:CUDA|ROCm|MUSA) error: .{1,160})", "the engine crashed: {x}"),
    cause("crash", r"(?P<x>GGML_ASSERT\(.{1,160})", "the engine crashed: {x}"),
    cause("crash", r"terminate called .{0,160}", "the engine crashed with an exception that nothing caught"),
)

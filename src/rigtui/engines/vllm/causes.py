"""What vLLM's error lines mean, most telling first. The texts are those of vLLM 0.33, torch, transformers and NCCL."""

from __future__ import annotations

from rigtui.engines.endings import cause

# In order: what is a cause comes before what follows from it.
CAUSES = (
    cause(
        "port_in_use",
        r"\[Errno 98\]|[Aa]ddress already in use",
        "the port is taken by another program; choose another --port",
    ),
    cause(
        "port_in_use",
        r"\[Errno (?:99|13)\] (?:Cannot assign requested address|error while attempting to bind|Permission denied$)",
        "the address or port cannot be opened: it is not this machine's, or only root may; choose another --port or --host",
    ),
    cause(
        "driver",
        r"shared memory segment /dev/shm|unable to (?:allocate|open|mmap) shared memory",
        "shared memory (/dev/shm) is too small for the cards to talk to each other; in a container give it --ipc=host or --shm-size=8g",
    ),
    cause("disk_full", r"No space left on device", "the disk is full"),
    # Arguments and divisions
    cause(
        "bad_argument",
        r"Total number of attention heads \((?P<heads>\d{1,6})\) must be divisible by tensor parallel size \((?P<size>\d{1,4})\)",
        "the model's {heads} attention heads cannot be divided over {size} cards; use a number that divides them, or a pipeline",
    ),
    cause(
        "bad_argument",
        r"sum\(partitions\)=(?P<sum>\d{1,6}) does not match num_hidden_layers=(?P<layers>\d{1,6})",
        "VLLM_PP_LAYER_PARTITION adds up to {sum} layers, the model has {layers}",
    ),
    cause(
        "bad_argument",
        r"len\(partitions\)=(?P<stages>\d{1,4}) does not match pp_size=(?P<size>\d{1,4})",
        "VLLM_PP_LAYER_PARTITION names {stages} stages, the pipeline has {size}",
    ),
    cause("bad_argument", r"Invalid partition string: (?P<x>.{1,80})", "VLLM_PP_LAYER_PARTITION is no list of numbers: {x}"),
    cause(
        "bad_argument",
        r"World size \((?P<size>\d{1,6})\) is larger than the number of available GPUs \((?P<gpus>\d{1,4})\)",
        "{size} cards were asked for, vLLM sees {gpus}",
    ),
    cause(
        "bad_argument",
        r"Weight input_size_per_partition.{0,60} is not divisible by group_size|min_thread_[nk] = \d"
        r"|is not divisible by weight quantization block",
        "the quantization groups of the weights cannot be divided over so many cards; use fewer in tensor parallel, or a pipeline",
    ),
    cause(
        "bad_argument",
        r"AssertionError: (?P<x>\d{1,9} is not divisible by \d{1,9})",
        "the model cannot be divided over so many cards: {x}; use fewer in tensor parallel, or a pipeline",
    ),
    cause(
        "unsupported_model",
        r"Pipeline parallelism is not supported for this model",
        "vLLM cannot run this model in a pipeline; use one card, or tensor parallel",
    ),
    cause(
        "bad_argument",
        r"vllm(?: serve)?: error: unrecognized arguments: (?P<x>.{1,160})",
        "this vLLM does not know the argument {x}; remove it or use another version",
    ),
    cause("bad_argument", r"vllm(?: serve)?: error: (?P<x>.{1,200})", "vLLM refused its arguments: {x}"),
    # Models
    cause(
        "unsupported_model",
        r"Model architectures? (?P<x>\[[^\]]{1,120}\]|\S{1,120}) (?:are not supported for now|is not supported in-tree)",
        "this vLLM does not know the architecture {x}; update it or use another engine",
    ),
    cause(
        "unsupported_model",
        r"model type `?(?P<x>[\w.-]{1,80})`? but Transformers does not recognize this architecture",
        "this vLLM's transformers does not know the model type {x}; update vLLM",
    ),
    cause(
        "unsupported_model",
        r"The quantization method (?P<method>\S{1,60}) is not supported for the current GPU\. "
        r"Minimum capability: (?P<least>\d{1,2})(?P<tenth>\d)\. Current capability: (?P<now>\d{1,2})(?P<rest>\d)",
        "the quantization {method} needs compute capability {least}.{tenth}, the card has {now}.{rest}; use another quantization or engine",
    ),
    cause(
        "unsupported_model",
        r"Quantization scheme is not supported for the current GPU\. "
        r"Min capability: (?P<least>\d{1,2})(?P<tenth>\d)\. Current capability: (?P<now>\d{1,2})(?P<rest>\d)",
        "the quantization needs compute capability {least}.{tenth}, the card has {now}.{rest}; use another quantization or engine",
    ),
    cause(
        "unsupported_model",
        r"Bfloat16 is only supported on GPUs with compute capability of at least 8\.0",
        "a card without bfloat16 is in use (compute capability below 8.0); pass --engine-arg=--dtype=half",
    ),
    cause("unsupported_model", r"(?P<x>\S{1,40} is not supported for quantization method \S{1,60}\.)", "this cannot be combined: {x}"),
    cause(
        "unsupported_model",
        r"Unknown quantization method: (?P<x>[^.\s]{1,60})",
        "this vLLM does not know the quantization {x}; update it or use another engine",
    ),
    cause(
        "model_bad",
        r"GatedRepoError|401 Client Error|403 Client Error",
        "the model may not be read from the hub without permission; ask for access there and log in with: hf auth login",
    ),
    cause(
        "model_bad",
        r"is not a local folder and is not a valid model identifier|Repo(?:sitory)?NotFound",
        "the model's folder is not there, and the hub does not know that name",
    ),
    cause(
        "model_bad",
        r"SafetensorError: (?P<x>.{1,120})|Cannot find any (?:safetensors )?model weights with (?P<y>.{1,120})",
        "the model's weights are incomplete or damaged ({x}); download it again",
    ),
    cause(
        "model_bad",
        r"does not appear to have a file named (?P<x>\S{1,80})|is not a valid JSON file",
        "the model's folder is incomplete or damaged; download it again",
    ),
    # Cards, drivers and what lies between
    cause("driver", r"NVIDIA driver on your system is too old|driver version is insufficient", "the GPU driver is too old for this vLLM"),
    cause(
        "driver",
        r"no kernel image is available",
        "this vLLM has no code for one of the cards (compute capability below 7.5, or another build's); leave that card out",
    ),
    cause(
        "driver",
        r"Failed to infer device type|No CUDA GPUs are available|libcuda\.so\.\d: cannot open shared object",
        "vLLM sees no GPU: the driver is missing or does not fit this build; check it with nvidia-smi",
    ),
    cause(
        "gpu_lost",
        r"CUDA error: (?P<x>unspecified launch failure|uncorrectable ECC error encountered|unknown error|device not ready"
        r"|the launch timed out and was terminated|CUDA-capable device\(s\) is/are busy or unavailable)",
        "a GPU stopped answering ({x}); look at dmesg for Xid, reset the card or restart the machine",
    ),
    cause(
        "driver",
        r"NCCL error(?: in)?: (?P<x>.{1,120})|DistBackendError(?P<y>.{0,120})",
        "the cards could not talk to each other (NCCL: {x}); try NCCL_P2P_DISABLE=1 in the profile's environment",
    ),
    cause(
        "timeout",
        r"Timed out waiting for engine core",
        "the engine's core did not come up in time; a slow disk needs a larger VLLM_ENGINE_READY_TIMEOUT_S",
    ),
    cause(
        "engine_missing",
        r"(?:ModuleNotFoundError|ImportError|PackageNotFoundError): (?P<x>.{1,160})",
        "this vLLM is not installed completely: {x}",
    ),
    cause(
        "engine_missing",
        r"RuntimeError: operator torchvision::nms does not exist",
        "this vLLM's torchvision is of another build than its torch; install vLLM anew in a fresh environment",
    ),
    cause("bad_argument", r"^ *Value error, (?P<x>.{1,200})", "vLLM refused its arguments: {x}"),
)

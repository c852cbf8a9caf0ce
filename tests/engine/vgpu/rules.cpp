#include "rules.h"

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <iterator>

namespace vgpu {

using Types = std::initializer_list<ggml_type>;

static bool among(ggml_type type, Types types) {
    return std::find(types.begin(), types.end(), type) != types.end();
}

static bool floating(ggml_type type) {
    return among(type, {GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16});
}

// --- flash attention -------------------------------------------------------------------------------------------------------------

enum class Attention { none, vector, matrix };

struct Heads {
    int k, v;
    bool grouped;  // only where several query heads share a KV head in the way that `grouped` asks for
    int multiple;  // how many must share it
};
static constexpr Heads HEADS[] = {
    {40, 40, false, 1},   {64, 64, false, 1},   {72, 72, false, 1},   {80, 80, false, 1},  {96, 96, false, 1},  {112, 112, false, 1},
    {128, 128, false, 1}, {256, 256, false, 1}, {192, 128, true, 8},  {320, 256, true, 32}, {512, 512, true, 1}, {576, 512, true, 1},
};
static constexpr int KV_STEP = 256;

static bool aligned(const ggml_tensor * tensor) {
    if (!tensor || ggml_is_quantized(tensor->type)) return true;
    return std::all_of(tensor->nb + 1, tensor->nb + GGML_MAX_DIMS, [](size_t stride) { return stride % 16 == 0; });
}

static bool grouped(const ggml_tensor * op, long long ratio) {
    const ggml_tensor *q = op->src[0], *k = op->src[1], *v = op->src[2], *mask = op->src[3];
    float bias;
    memcpy(&bias, op->op_params + 1, sizeof bias);
    return ratio >= 2 && mask && bias == 0 && k->ne[1] % KV_STEP == 0 && aligned(q) && aligned(k) && aligned(v) && aligned(mask);
}

static bool attends(const ggml_tensor * op, bool in_groups, long long ratio) {
    const ggml_tensor *k = op->src[1], *v = op->src[2], *mask = op->src[3];
    const Types types = {GGML_TYPE_F32,  GGML_TYPE_F16,  GGML_TYPE_BF16, GGML_TYPE_Q4_0,
                         GGML_TYPE_Q4_1, GGML_TYPE_Q5_0, GGML_TYPE_Q5_1, GGML_TYPE_Q8_0};
    const auto fits = [&](const Heads & heads) {
        return heads.k == k->ne[0] && heads.v == v->ne[0] && (in_groups || !heads.grouped) && ratio % heads.multiple == 0;
    };
    return std::any_of(std::begin(HEADS), std::end(HEADS), fits) && among(k->type, types) && among(v->type, types) &&
           (!mask || mask->ne[2] == 1);
}

// The vector kernels read K and V as they are, the others want f16. Left out: the sparse variant of the matrix kernel, which single
// tokens choose with an attention that needs no copies anyway.
static Attention attention(int cc, const ggml_tensor * op) {
    const ggml_tensor *q = op->src[0], *k = op->src[1], *v = op->src[2];
    const long long ratio = q->ne[2] / k->ne[2], size = q->ne[0], tokens = q->ne[1];
    const bool in_groups = grouped(op, ratio);
    if (!attends(op, in_groups, ratio)) return Attention::none;
    const bool vector = size <= 256 && size % 64 == 0 && size != 192 && k->ne[1] % KV_STEP == 0;
    const bool quantised = ggml_is_quantized(k->type) || ggml_is_quantized(v->type);
    const bool tensor_cores = cc >= 700 && size != 40 && size != 72;
    if (!vector) return Attention::matrix;
    if (tensor_cores && cc < 750) {  // Volta
        long long together = 1;
        while (ratio % (2 * together) == 0 && together < 8) together *= 2;
        return tokens * together <= 2 ? Attention::vector : Attention::matrix;
    }
    bool chosen;
    if (!tensor_cores) {
        chosen = quantised ? tokens <= 2 : tokens == 1 && !in_groups;
    } else if (quantised) {
        chosen = tokens <= (cc >= 890 ? 2 : 1);
    } else {
        chosen = cc >= 890 && tokens == 1 && q->ne[3] == 1 && !(ratio > 4 && (size >= 256 || k->ne[1] >= 8192));
    }
    return chosen || (tensor_cores && !in_groups && tokens == 1) ? Attention::vector : Attention::matrix;
}

static size_t attention_bytes(int cc, const ggml_tensor * op) {
    const ggml_tensor *k = op->src[1], *v = op->src[2];
    const Attention kernel = attention(cc, op);
    const bool compiled = k->type == v->type && among(k->type, {GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_Q4_0, GGML_TYPE_Q8_0});
    const bool same = v->view_src && (v->view_src == k || (v->view_src == k->view_src && v->view_offs == k->view_offs));
    const auto copied = [&](const ggml_tensor * tensor) {
        if (kernel == Attention::none || tensor->type == GGML_TYPE_F16) return false;
        return kernel == Attention::matrix || !compiled || tensor->type == GGML_TYPE_F32;
    };
    size_t bytes = ggml_nbytes(op);
    const auto add = [&](const ggml_tensor * tensor) { bytes = GGML_PAD(bytes, ALIGNMENT) + ggml_nelements(tensor) * sizeof(ggml_fp16_t); };
    if (copied(k)) add(k);
    if (copied(v) && !same) add(v);
    return bytes;
}

size_t allocated(int cc, const ggml_tensor * tensor) {
    constexpr int row_step = 512;
    size_t bytes = tensor->op == GGML_OP_FLASH_ATTN_EXT ? attention_bytes(cc, tensor) : ggml_nbytes(tensor);
    const long long rest = tensor->ne[0] % row_step;
    if (ggml_is_quantized(tensor->type) && rest) bytes += ggml_row_size(tensor->type, row_step - rest);
    return bytes;
}

// --- which operations a card computes --------------------------------------------------------------------------------------------

static bool computes_unary(const ggml_tensor * op) {
    switch (ggml_get_unary_op(op)) {
        case GGML_UNARY_OP_XIELU:
            return op->src[0]->type != GGML_TYPE_BF16 && ggml_is_contiguous(op->src[0]);
        case GGML_UNARY_OP_ABS: case GGML_UNARY_OP_SGN: case GGML_UNARY_OP_NEG: case GGML_UNARY_OP_STEP: case GGML_UNARY_OP_GELU:
        case GGML_UNARY_OP_SILU: case GGML_UNARY_OP_RELU: case GGML_UNARY_OP_SIGMOID: case GGML_UNARY_OP_HARDSIGMOID:
        case GGML_UNARY_OP_HARDSWISH: case GGML_UNARY_OP_GELU_ERF: case GGML_UNARY_OP_GELU_QUICK: case GGML_UNARY_OP_TANH:
        case GGML_UNARY_OP_EXP: case GGML_UNARY_OP_EXPM1: case GGML_UNARY_OP_SOFTPLUS: case GGML_UNARY_OP_ELU:
        case GGML_UNARY_OP_FLOOR: case GGML_UNARY_OP_CEIL: case GGML_UNARY_OP_ROUND: case GGML_UNARY_OP_TRUNC:
            return ggml_is_contiguous(op->src[0]);
        default:
            return false;
    }
}

static bool computes_gate(const ggml_tensor * op) {
    switch (ggml_get_glu_op(op)) {
        case GGML_GLU_OP_SWIGLU_OAI: case GGML_GLU_OP_SWIGLU_CLAMP:
            return op->src[0]->type != GGML_TYPE_BF16 && ggml_is_contiguous_1(op->src[0]);
        case GGML_GLU_OP_REGLU: case GGML_GLU_OP_GEGLU: case GGML_GLU_OP_SWIGLU: case GGML_GLU_OP_GEGLU_ERF:
        case GGML_GLU_OP_GEGLU_QUICK:
            return ggml_is_contiguous_1(op->src[0]);
        default:
            return false;
    }
}

static bool computes_product(const ggml_tensor * op) {
    const ggml_tensor *a = op->src[0], *b = op->src[1];
    if (a->nb[0] != ggml_element_size(a) || b->nb[0] != ggml_element_size(b)) return false;
    if (op->op == GGML_OP_MUL_MAT_ID && op->op_params[3] == GGML_PREC_F32) return false;
    if (b->type == GGML_TYPE_F16 && a->type != GGML_TYPE_F16) {
        const bool hadamard = op->op == GGML_OP_MUL_MAT && op->op_params[1] == GGML_HINT_SRC0_IS_HADAMARD && a->type == GGML_TYPE_F32 &&
                              op->type == GGML_TYPE_F32 && ggml_is_contiguous(b) && ggml_is_contiguous(op) && ggml_are_same_shape(b, op);
        if (!hadamard) return false;
    }
    // Every type that weights have today; integers and the ternary types are not among them.
    return floating(a->type) || (ggml_is_quantized(a->type) && !among(a->type, {GGML_TYPE_TQ1_0, GGML_TYPE_TQ2_0, GGML_TYPE_Q8_1}));
}

static bool computes_rows(const ggml_tensor * op) {
    const ggml_tensor * from = op->src[0];
    if (among(from->type, {GGML_TYPE_IQ4_NL, GGML_TYPE_MXFP4})) return from->ne[0] % 256 == 0;
    return floating(from->type) || from->type == GGML_TYPE_I32 ||
           (ggml_is_quantized(from->type) &&
            !among(from->type, {GGML_TYPE_TQ1_0, GGML_TYPE_TQ2_0, GGML_TYPE_NVFP4, GGML_TYPE_Q8_1, GGML_TYPE_Q8_K}));
}

static bool stores_rows(const ggml_tensor * op) {
    const bool from_f32 = op->src[0]->type == GGML_TYPE_F32 &&
                          (floating(op->type) || among(op->type, {GGML_TYPE_Q4_0, GGML_TYPE_Q4_1, GGML_TYPE_Q5_0, GGML_TYPE_Q5_1,
                                                                  GGML_TYPE_Q8_0, GGML_TYPE_IQ4_NL}));
    const bool in_f16 = op->type == GGML_TYPE_F16 && op->src[0]->type == GGML_TYPE_F16;
    return (from_f32 || in_f16) && among(op->src[1]->type, {GGML_TYPE_I64, GGML_TYPE_I32});
}

static bool copies(const ggml_tensor * op) {
    const ggml_tensor *a = op->src[0], *b = op->src[1];
    const Types simple = {GGML_TYPE_Q8_0, GGML_TYPE_Q4_0, GGML_TYPE_Q4_1, GGML_TYPE_Q5_0, GGML_TYPE_Q5_1, GGML_TYPE_I32};
    if (floating(a->type) && floating(b->type)) return true;
    if (a->type == GGML_TYPE_F32 && (among(b->type, simple) || b->type == GGML_TYPE_IQ4_NL)) return true;
    if (among(a->type, simple) && b->type == GGML_TYPE_F32) return true;
    if (a->type == GGML_TYPE_I32 && b->type == GGML_TYPE_I32) return true;
    return a->type == b->type && ggml_is_contiguous(a) && ggml_is_contiguous(b);
}

static bool joins(const ggml_tensor * op) {
    const ggml_tensor *a = op->src[0], *b = op->src[1];
    if (a->type != b->type || a->type != op->type) return false;
    if (!ggml_is_quantized(a->type)) return ggml_blck_size(a->type) == 1;
    const bool last = op->op_params[0] == 3;
    const auto dense = [&](const ggml_tensor * tensor) {
        return (last ? ggml_is_contiguous(tensor) : ggml_is_contiguous_to_3(tensor)) && tensor->ne[0] % ggml_blck_size(tensor->type) == 0;
    };
    return dense(a) && dense(b);
}

static bool computes_elements(const ggml_tensor * op) {
    const ggml_type a = op->src[0]->type, b = op->src[1]->type;
    if (among(GGML_TYPE_BF16, {a, b, op->type})) {
        return a == GGML_TYPE_BF16 && op->type == GGML_TYPE_BF16 && among(b, {GGML_TYPE_BF16, GGML_TYPE_F32});
    }
    return floating(a) && floating(b) && floating(op->type);
}

static bool scans(const ggml_tensor * op) {
    const ggml_tensor * state = op->src[0];
    if (op->src[3]->ne[0] == 1) {  // Mamba-2
        return (state->ne[0] == 96 || state->ne[0] == 128 || state->ne[0] == 256) && state->ne[1] % 16 == 0;
    }
    return op->op_params[0] <= 1 && state->ne[0] == 16 && state->ne[1] == 1 && state->ne[2] % 128 == 0 && op->src[4]->ne[1] == 1;
}

static bool indexes(const ggml_tensor * op) {
    const ggml_tensor *q = op->src[0], *k = op->src[1];
    return q->ne[0] == 128 && (q->ne[1] == 64 || q->ne[1] == 32) && aligned(q) && aligned(k) &&
           (floating(k->type) ||
            among(k->type, {GGML_TYPE_Q8_0, GGML_TYPE_Q5_1, GGML_TYPE_Q5_0, GGML_TYPE_Q4_1, GGML_TYPE_Q4_0}));
}

static bool in_f32(const ggml_tensor * op) {
    return op->type == GGML_TYPE_F32 &&
           std::all_of(op->src, op->src + GGML_MAX_SRC, [](const ggml_tensor * one) { return !one || one->type == GGML_TYPE_F32; });
}

bool computes(int cc, const ggml_tensor * op) {
    const ggml_tensor * a = op->src[0];
    switch (op->op) {
        case GGML_OP_UNARY:          return computes_unary(op);
        case GGML_OP_GLU:            return computes_gate(op);
        case GGML_OP_MUL_MAT:
        case GGML_OP_MUL_MAT_ID:     return computes_product(op);
        case GGML_OP_GET_ROWS:       return computes_rows(op);
        case GGML_OP_SET_ROWS:       return stores_rows(op);
        case GGML_OP_CPY:            return copies(op);
        case GGML_OP_CONCAT:         return joins(op);
        case GGML_OP_FLASH_ATTN_EXT: return attention(cc, op) != Attention::none;
        case GGML_OP_LIGHTNING_INDEXER: return indexes(op);
        case GGML_OP_SSM_SCAN:       return scans(op);
        case GGML_OP_SSM_CONV:       return a->ne[1] % 128 == 0;
        case GGML_OP_ADD: case GGML_OP_SUB: case GGML_OP_MUL: case GGML_OP_DIV:
            return computes_elements(op);
        case GGML_OP_SCALE:
            return among(a->type, {GGML_TYPE_F32, GGML_TYPE_BF16}) && op->type == a->type;
        case GGML_OP_SET:
            return among(op->type, {GGML_TYPE_F32, GGML_TYPE_I32}) && op->type == a->type && op->type == op->src[1]->type;
        case GGML_OP_REPEAT:
            return among(a->type, {GGML_TYPE_F32, GGML_TYPE_F16});
        case GGML_OP_NORM: case GGML_OP_RMS_NORM: case GGML_OP_L2_NORM: case GGML_OP_SUM:
            return ggml_is_contiguous_rows(a);
        case GGML_OP_SUM_ROWS: case GGML_OP_MEAN:
            return a->type == GGML_TYPE_F32 && op->type == GGML_TYPE_F32 && ggml_is_contiguous_rows(a);
        case GGML_OP_ROPE:
            return a->nb[0] == ggml_type_size(a->type) && ggml_is_contiguous_2(a);
        case GGML_OP_ROLL:
            return a->type == GGML_TYPE_F32 && ggml_is_contiguous(a);
        case GGML_OP_GROUP_NORM:
            return ggml_is_contiguous(a);
        case GGML_OP_ACC: case GGML_OP_IM2COL: case GGML_OP_IM2COL_3D: case GGML_OP_CONV_2D:
            return ggml_is_contiguous(a) && ggml_is_contiguous(op->src[1]);
        case GGML_OP_CONV_2D_DW:
            return among(a->type, {GGML_TYPE_F16, GGML_TYPE_F32}) && op->src[1]->type == GGML_TYPE_F32 && op->type == GGML_TYPE_F32;
        case GGML_OP_CONV_TRANSPOSE_1D: case GGML_OP_OUT_PROD:
            return a->type == GGML_TYPE_F32 && op->src[1]->type == GGML_TYPE_F32;
        case GGML_OP_DSV4_HC_COMB: case GGML_OP_DSV4_HC_PRE: case GGML_OP_DSV4_HC_POST:
            return in_f32(op);
        case GGML_OP_NONE: case GGML_OP_RESHAPE: case GGML_OP_VIEW: case GGML_OP_PERMUTE: case GGML_OP_TRANSPOSE: case GGML_OP_ADD_ID:
        case GGML_OP_ADD1: case GGML_OP_SQR: case GGML_OP_SQRT: case GGML_OP_SIN: case GGML_OP_COS: case GGML_OP_CLAMP: case GGML_OP_LOG:
        case GGML_OP_DUP: case GGML_OP_ARGMAX: case GGML_OP_COUNT_EQUAL: case GGML_OP_CONT: case GGML_OP_DIAG_MASK_INF:
        case GGML_OP_SOFT_MAX: case GGML_OP_CONV_TRANSPOSE_2D: case GGML_OP_POOL_1D: case GGML_OP_POOL_2D: case GGML_OP_TOP_K:
        case GGML_OP_ARGSORT: case GGML_OP_PAD: case GGML_OP_UPSCALE: case GGML_OP_PAD_REFLECT_1D: case GGML_OP_ARANGE:
        case GGML_OP_TIMESTEP_EMBEDDING: case GGML_OP_LEAKY_RELU: case GGML_OP_RWKV_WKV6: case GGML_OP_RWKV_WKV7:
        case GGML_OP_GATED_LINEAR_ATTN: case GGML_OP_GATED_DELTA_NET: case GGML_OP_FILL: case GGML_OP_CUMSUM: case GGML_OP_TRI:
        case GGML_OP_DIAG: case GGML_OP_SOLVE_TRI:
            return true;
        default:  // training and audio
            return false;
    }
}

// --- what it costs ---------------------------------------------------------------------------------------------------------------

long long batch(const ggml_tensor * op) {
    switch (op->op) {
        case GGML_OP_GET_ROWS:   return 0;
        case GGML_OP_MUL_MAT:    return op->ne[1];
        case GGML_OP_MUL_MAT_ID:
        case GGML_OP_ROPE:
        case GGML_OP_ROPE_BACK:  return op->ne[2];
        default:                 return ggml_nrows(op);
    }
}

double traffic(const ggml_tensor * op) {
    switch (op->op) {
        case GGML_OP_MUL_MAT:
            return ggml_nbytes(op->src[0]);
        case GGML_OP_MUL_MAT_ID:  // of the experts only those that some token asks for
            return ggml_nbytes(op->src[0]) * std::min(1.0, double(ggml_nelements(op->src[2])) / op->src[0]->ne[2]);
        case GGML_OP_FLASH_ATTN_EXT:
            return ggml_nbytes(op->src[1]) + ggml_nbytes(op->src[2]);
        default:
            return 0;
    }
}

}  // namespace vgpu

/* The table of kernels that run on every core. */
#include "runtime/kernels.h"

const eo_kernel eo_kernels_portable[EO_OP_END] = {
    [EO_OP_CONV_2D] = eo_portable_conv_2d,
    [EO_OP_DEPTHWISE_CONV_2D] = eo_portable_depthwise_conv_2d,
    [EO_OP_FULLY_CONNECTED] = eo_portable_fully_connected,
    [EO_OP_AVERAGE_POOL_2D] = eo_portable_average_pool_2d,
    [EO_OP_MAX_POOL_2D] = eo_portable_max_pool_2d,
    [EO_OP_MEAN] = eo_portable_mean,
    [EO_OP_ADD] = eo_portable_add,
    [EO_OP_MUL] = eo_portable_mul,
    [EO_OP_SOFTMAX] = eo_portable_softmax,
    [EO_OP_TABLE] = eo_portable_table,
    [EO_OP_FILL] = eo_portable_fill,
    [EO_OP_MOVE] = eo_portable_move,
    [EO_OP_QUANTIZE] = eo_portable_quantize,
    [EO_OP_DEQUANTIZE] = eo_portable_dequantize,
    [EO_OP_SVDF] = eo_portable_svdf,
    [EO_OP_LSTM] = eo_portable_lstm,
};

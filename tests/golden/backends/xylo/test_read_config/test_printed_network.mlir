builtin.module {
  xylo.network @main attributes {chip = "audio2"} {
    xylo.input {layers = {input = 2 : i64}, weights = dense<[[[1, 21], [-2, 0], [3, 22]], [[4, 0], [5, -23], [-6, 0]]]> : tensor<2x3x2xi32>, weight_shift = 1 : i64}
    xylo.hidden {layers = {hidden = 3 : i64}, weights = dense<[[[0, 0], [7, 0], [0, 24]], [[-8, 0], [0, 0], [0, 0]], [[0, 0], [0, -25], [9, 0]]]> : tensor<3x3x2xi32>, weight_shift = 2 : i64, dash_mem = dense<[0, 4, 15]> : tensor<3xi32>, dash_syn = dense<[[1, 9], [2, 10], [3, 11]]> : tensor<3x2xi32>, threshold = dense<[100, 200, 300]> : tensor<3xi32>, bias = dense<[-1, 0, 1]> : tensor<3xi32>, aliases = array<i64: 2, -1, 1>}
    xylo.readout {layers = {readout = 2 : i64}, weights = dense<[[10, 11], [-12, 0], [0, 13]]> : tensor<3x2xi32>, weight_shift = 3 : i64, dash_mem = dense<[5, 6]> : tensor<2xi32>, dash_syn = dense<[7, 8]> : tensor<2xi32>, threshold = dense<[400, 500]> : tensor<2xi32>, bias = dense<0> : tensor<2xi32>, outputs = ["output"]}
  }
}

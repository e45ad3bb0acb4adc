builtin.module {
  xylo.network @main attributes {chip = "imu"} {
    xylo.input {layers = {x = 2 : i64}, weights = dense<[[[40], [0], [0]], [[40], [0], [0]]]> : tensor<2x3x1xi32>, weight_shift = 0 : i64}
    xylo.hidden {layers = {g = 1 : i64, h = 2 : i64}, weights = dense<[[[0], [90], [0]], [[0], [0], [90]], [[0], [0], [0]]]> : tensor<3x3x1xi32>, weight_shift = 0 : i64, dash_mem = dense<3> : tensor<3xi32>, dash_syn = dense<2> : tensor<3x1xi32>, threshold = dense<60> : tensor<3xi32>, bias = dense<0> : tensor<3xi32>}
    xylo.readout {layers = {o = 2 : i64}, weights = dense<[[0, 0], [30, 50], [30, 50]]> : tensor<3x2xi32>, weight_shift = 0 : i64, dash_mem = dense<3> : tensor<2xi32>, dash_syn = dense<2> : tensor<2xi32>, threshold = dense<60> : tensor<2xi32>, bias = dense<0> : tensor<2xi32>, outputs = ["y"]}
  }
}

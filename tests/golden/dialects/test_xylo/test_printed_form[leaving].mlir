builtin.module {
  xylo.network @main attributes {chip = "imu", relays = {h = "inside"}} {
    xylo.input {layers = {in = 1 : i64}, weights = dense<[[[1.000000e-01], [-1.000000e-300]]]> : tensor<1x2x1xf64>, weight_shift = 0 : i64}
    xylo.hidden {layers = {h = 2 : i64}, weights = dense<[[[3.000000e-01], [0.000000e+00]], [[1.000000e+20], [-7.000000e-01]]]> : tensor<2x2x1xf64>, weight_shift = 0 : i64, dash_mem = dense<4.6438561897747244> : tensor<2xf64>, dash_syn = dense<[[3.300000e+00], [2.000000e+00]]> : tensor<2x1xf64>, threshold = dense<1.000000e+00> : tensor<2xf64>, bias = dense<[0.000000e+00, -1.250000e-01]> : tensor<2xf64>}
    xylo.readout {layers = {r = 1 : i64}, outputs = ["out"], membranes = ["r"], weights = dense<[[2.000000e-01], [4.000000e-01]]> : tensor<2x1xf64>, weight_shift = 0 : i64, dash_mem = dense<5.000000e+00> : tensor<1xf64>, dash_syn = dense<1.000000e+00> : tensor<1xf64>, threshold = dense<1.000000e+00> : tensor<1xf64>, bias = dense<0.000000e+00> : tensor<1xf64>}
  }
}

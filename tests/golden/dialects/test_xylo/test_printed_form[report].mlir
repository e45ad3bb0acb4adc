builtin.module {
  xylo.network @main attributes {chip = "audio2", report = [#nir.change<"a b", "threshold", "LSB", dense<5.000000e-01> : tensor<f64>, dense<4.900000e-01> : tensor<f64>, dense<2.000000e-02> : tensor<f64>>, #nir.change<"last", "weight", "", dense<[-5.000000e-01, 5.000000e-01]> : tensor<2xf64>, dense<[-4.900000e-01, 5.100000e-01]> : tensor<2xf64>, dense<2.000000e-02> : tensor<f64>>]} {
    xylo.input {layers = {touch = 1 : i64, "2.in" = 1 : i64}, weights = dense<[[[1, -2], [3, 0]], [[-128, 127], [0, 5]]]> : tensor<2x2x2xi32>, weight_shift = 3 : i64}
    xylo.hidden {layers = {z = 1 : i64, "a b" = 2 : i64}, weights = dense<0> : tensor<3x3x2xi32>, weight_shift = 7 : i64, dash_mem = dense<[0, 4, 15]> : tensor<3xi32>, dash_syn = dense<[[1, 2], [3, 4], [5, 6]]> : tensor<3x2xi32>, threshold = dense<[32767, 0, -32768]> : tensor<3xi32>, bias = dense<[-128, 0, 127]> : tensor<3xi32>, aliases = array<i64: 2, -1, 0>, scale = dense<[1.500000e+00, 2.500000e+00, 1.000000e-01]> : tensor<3xf64>}
    xylo.readout {layers = {last = 2 : i64}, outputs = ["out \221\22"], weights = dense<[[7, -7]]> : tensor<1x2xi32>, weight_shift = 0 : i64, dash_mem = dense<4> : tensor<2xi32>, dash_syn = dense<[1, 2]> : tensor<2xi32>, threshold = dense<100> : tensor<2xi32>, bias = dense<0> : tensor<2xi32>, scale = dense<1.000000e-01> : tensor<2xf64>}
  }
}

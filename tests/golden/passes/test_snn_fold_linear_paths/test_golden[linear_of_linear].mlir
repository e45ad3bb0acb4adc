builtin.module {
  snn.network @main attributes {inputs = ["x"], outputs = ["y"], states = []} {
  ^bb0(%x: tensor<3xf64>):
    %y = snn.linear %x {weight = dense<[[3.750000e-01, -5.500000e+00, 1.750000e+00], [3.187500e+00, -1.750000e+00, 2.500000e-01]]> : tensor<2x3xf64>, node = "y"} : (tensor<3xf64>) -> tensor<2xf64>
    snn.yield %y : tensor<2xf64>
  }
}

builtin.module {
  snn.network @main attributes {inputs = ["x"], outputs = ["y"], states = []} {
  ^bb0(%x: tensor<3xf64>):
    %y = snn.linear %x {weight = dense<[[3.000000e+00, 1.000000e+00, 5.000000e-02], [5.000000e-01, -1.500000e+00, -1.000000e-01]]> : tensor<2x3xf64>, node = "y"} : (tensor<3xf64>) -> tensor<2xf64>
    snn.yield %y : tensor<2xf64>
  }
}

builtin.module {
  snn.network @main attributes {inputs = ["x"], outputs = ["y"], states = []} {
  ^bb0(%x: tensor<3xf64>):
    %y = snn.linear %x {weight = dense<[[0.44999999999999996, -6.000000e-01, 1.500000e-01], [7.500000e-02, 0.89999999999999991, -3.000000e-01]]> : tensor<2x3xf64>, node = "y"} : (tensor<3xf64>) -> tensor<2xf64>
    snn.yield %y : tensor<2xf64>
  }
}

builtin.module {
  snn.network @main attributes {inputs = ["x"], outputs = ["y"], states = []} {
  ^bb0(%x: tensor<3xf64>):
    %y = snn.add %x {constant = dense<[1.100000e+00, -0.19999999999999996, 2.250000e+00]> : tensor<3xf64>, node = "y"} : (tensor<3xf64>) -> tensor<3xf64>
    snn.yield %y : tensor<3xf64>
  }
}

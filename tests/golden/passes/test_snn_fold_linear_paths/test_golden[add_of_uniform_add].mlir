builtin.module {
  snn.network @main attributes {inputs = ["x"], outputs = ["y"], states = []} {
  ^bb0(%x: tensor<3xf64>):
    %y = snn.add %x {constant = dense<[4.000000e-01, -0.39999999999999997, 2.300000e+00]> : tensor<3xf64>, node = "y"} : (tensor<3xf64>) -> tensor<3xf64>
    snn.yield %y : tensor<3xf64>
  }
}

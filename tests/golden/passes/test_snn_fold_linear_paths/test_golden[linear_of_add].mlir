builtin.module {
  snn.network @main attributes {inputs = ["x"], outputs = ["y"], states = []} {
  ^bb0(%x: tensor<3xf64>):
    %y = snn.linear %x {weight = dense<[[1.500000e+00, -2.000000e+00, 5.000000e-01], [2.500000e-01, 3.000000e+00, -1.000000e+00]]> : tensor<2x3xf64>, node = "y"} : (tensor<3xf64>) -> tensor<2xf64>
    %y_1 = snn.add %y {constant = dense<[2.550000e+00, -4.0749999999999993]> : tensor<2xf64>, node = "y"} : (tensor<2xf64>) -> tensor<2xf64>
    snn.yield %y_1 : tensor<2xf64>
  }
}

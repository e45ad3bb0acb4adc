builtin.module {
  snn.network @main attributes {inputs = ["x", "z"], outputs = ["y"], states = []} {
  ^bb0(%x: tensor<3xf64>, %z: tensor<3xi1>):
    %y = snn.linear %x {weight = dense<[[1.500000e+00, -2.000000e+00, 5.000000e-01], [2.500000e-01, 3.000000e+00, -1.000000e+00]]> : tensor<2x3xf64>, node = "y"} : (tensor<3xf64>) -> tensor<2xf64>
    %y_1 = snn.linear %z {weight = dense<[[1.500000e+00, -2.000000e+00, 5.000000e-01], [2.500000e-01, 3.000000e+00, -1.000000e+00]]> : tensor<2x3xf64>, node = "y"} : (tensor<3xi1>) -> tensor<2xf64>
    %y_2 = snn.sum %y, %y_1 {node = "y"} : (tensor<2xf64>, tensor<2xf64>) -> tensor<2xf64>
    snn.yield %y_2 : tensor<2xf64>
  }
}

builtin.module {
  snn.network @main attributes {inputs = ["x"], outputs = ["y"], states = [#snn.state<"n", "u", dense<5.000000e-01> : tensor<f32>>, #snn.state<"n", "v", dense<5.000000e-01> : tensor<f32>>]} {
  ^bb0(%x: tensor<2xf32>, %u: tensor<2xf32>, %v: tensor<2xf32>):
    %0, %1 = snn.scan {
      %w = snn.linear %x {weight = dense<[[1.000000e+00, 5.000000e-01], [2.500000e-01, 2.000000e+00]]> : tensor<2x2xf32>, node = "w"} : (tensor<2xf32>) -> tensor<2xf32>
      %a = snn.filter %w, %u {decay = dense<5.000000e-01> : tensor<f32>, gain = dense<1.000000e+00> : tensor<f32>, node = "a"} : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
      %s = snn.fire %a {threshold = dense<1.000000e+00> : tensor<f32>, compare = ">", node = "s"} : (tensor<2xf32>) -> tensor<2xi1>
      snn.yield %a, %s : tensor<2xf32>, tensor<2xi1>
    } : tensor<2xf32>, tensor<2xi1>
    %2 = snn.scan {
      %p = snn.linear %1 {weight = dense<[[1.000000e+00, 5.000000e-01], [2.500000e-01, 2.000000e+00]]> : tensor<2x2xf32>, node = "p"} : (tensor<2xi1>) -> tensor<2xf32>
      %b = snn.filter %p, %v {decay = dense<5.000000e-01> : tensor<f32>, gain = dense<1.000000e+00> : tensor<f32>, node = "b"} : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
      snn.yield %b : tensor<2xf32>
    } : tensor<2xf32>
    snn.yield %2, %0, %2 : tensor<2xf32>, tensor<2xf32>, tensor<2xf32>
  }
}

builtin.module {
  snn.network @main attributes {inputs = ["image"], outputs = ["y"], scheme = "nir-euler", states = [#snn.state<"lif", "v", dense<[0.000000e+00, 5.000000e-01, 1.000000e+00, 1.500000e+00]> : tensor<4xf32>>, #snn.state<"late", "ring", dense<false> : tensor<i1>>]} {
  ^bb0(%image: tensor<9xi1>, %v: tensor<4xf32>, %ring: tensor<2x4xi1>):
    %conv = snn.linear %image {weight = dense<[[1.000000e+00, 2.000000e+00, 0.000000e+00, 3.000000e+00, 4.000000e+00, 0.000000e+00, 0.000000e+00, 0.000000e+00, 0.000000e+00], [0.000000e+00, 1.000000e+00, 2.000000e+00, 0.000000e+00, 3.000000e+00, 4.000000e+00, 0.000000e+00, 0.000000e+00, 0.000000e+00], [0.000000e+00, 0.000000e+00, 0.000000e+00, 1.000000e+00, 2.000000e+00, 0.000000e+00, 3.000000e+00, 4.000000e+00, 0.000000e+00], [0.000000e+00, 0.000000e+00, 0.000000e+00, 0.000000e+00, 1.000000e+00, 2.000000e+00, 0.000000e+00, 3.000000e+00, 4.000000e+00]]> : tensor<4x9xf32>, node = "conv"} : (tensor<9xi1>) -> tensor<4xf32>
    %v1 = snn.filter %conv, %v {decay = dense<5.000000e-01> : tensor<f32>, gain = dense<1.000000e+00> : tensor<f32>, node = "lif"} : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
    %z = snn.fire %v1 {threshold = dense<[4.000000e+00, 5.000000e+00, 6.000000e+00, 7.000000e+00]> : tensor<4xf32>, compare = ">", node = "lif"} : (tensor<4xf32>) -> tensor<4xi1>
    %v2 = snn.reset %v1, %z {kind = "subtract", amount = dense<[4.000000e+00, 5.000000e+00, 6.000000e+00, 7.000000e+00]> : tensor<4xf32>, node = "lif"} : (tensor<4xf32>, tensor<4xi1>) -> tensor<4xf32>
    %late, %ring1 = snn.delay %z, %ring {steps = dense<[1, 2, 2, 0]> : tensor<4xi32>, node = "late"} : (tensor<4xi1>, tensor<2x4xi1>) -> (tensor<4xi1>, tensor<2x4xi1>)
    snn.yield %late, %v2, %ring1 : tensor<4xi1>, tensor<4xf32>, tensor<2x4xi1>
  }
}

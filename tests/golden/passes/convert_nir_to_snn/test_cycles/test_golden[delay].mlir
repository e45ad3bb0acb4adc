builtin.module attributes {nir.assumptions = [#nir.assumption<"given", "dt", "0.001 s">, #nir.assumption<"given", "scheme", "nir-euler: forward Euler, gains from r and w_in, a neuron fires where v > threshold, an input value is a current that lasts one step">, #nir.assumption<"choice", "reset", "to 0 for 'lif': NIR does not say with which kind the network was trained">, #nir.assumption<"choice", "gain of IF", "r (an input is a spike, whose effect does not depend on dt) for 'lif'">], nir.dt = 1.000000e-03 : f64} {
  snn.network @main attributes {inputs = ["x"], outputs = ["to_lif"], states = [#snn.state<"d", "z", dense<false> : tensor<i1>>, #snn.state<"lif", "v", dense<0.000000e+00> : tensor<f64>>, #snn.state<"d", "ring", dense<false> : tensor<i1>>], scheme = "nir-euler"} {
  ^bb0(%x: tensor<2xf64>, %z: tensor<2xi1>, %v: tensor<2xf64>, %ring: tensor<1x2xi1>):
    %w = snn.linear %z {weight = dense<[[7.500000e-01, -5.000000e-01], [2.500000e-01, 3.750000e-01]]> : tensor<2x2xf64>, node = "w"} : (tensor<2xi1>) -> tensor<2xf64>
    %w_1 = snn.add %w {constant = dense<[1.250000e-01, -2.500000e-01]> : tensor<2xf64>, node = "w"} : (tensor<2xf64>) -> tensor<2xf64>
    %0 = snn.sum %w_1, %x {node = "lif"} : (tensor<2xf64>, tensor<2xf64>) -> tensor<2xf64>
    %lif = snn.filter %0, %v {decay = dense<1.000000e+00> : tensor<f64>, gain = dense<1.000000e+00> : tensor<f64>, node = "lif"} : (tensor<2xf64>, tensor<2xf64>) -> tensor<2xf64>
    %lif_1 = snn.fire %lif {threshold = dense<5.000000e-01> : tensor<f64>, compare = ">", node = "lif"} : (tensor<2xf64>) -> tensor<2xi1>
    %lif_2 = snn.reset %lif, %lif_1 {kind = "value", amount = dense<0.000000e+00> : tensor<f64>, node = "lif"} : (tensor<2xf64>, tensor<2xi1>) -> tensor<2xf64>
    %d, %d_1 = snn.delay %lif_1, %ring {steps = dense<1> : tensor<i32>, node = "d"} : (tensor<2xi1>, tensor<1x2xi1>) -> (tensor<2xi1>, tensor<1x2xi1>)
    snn.yield %lif_1, %d, %lif_2, %d_1 : tensor<2xi1>, tensor<2xi1>, tensor<2xf64>, tensor<1x2xi1>
  }
}

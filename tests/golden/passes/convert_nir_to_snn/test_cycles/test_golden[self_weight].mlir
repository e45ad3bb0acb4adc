builtin.module attributes {nir.assumptions = [#nir.assumption<"given", "dt", "0.001 s">, #nir.assumption<"given", "scheme", "nir-euler,rec_cut=weight: forward Euler, gains from r and w_in, a neuron fires where v > threshold, an input value is a current that lasts one step">, #nir.assumption<"choice", "reset", "to 0 for 'lif': NIR does not say with which kind the network was trained">, #nir.assumption<"choice", "gain of IF", "r (an input is a spike, whose effect does not depend on dt) for 'lif'">, #nir.assumption<"given", "cycle", "cut at 'lif' -> 'lif': the edge carries last step's value, 0 at first">], nir.dt = 1.000000e-03 : f64} {
  snn.network @main attributes {inputs = ["x"], outputs = ["to_lif"], states = [#snn.state<"lif", "z", dense<false> : tensor<i1>>, #snn.state<"lif", "v", dense<0.000000e+00> : tensor<f64>>], scheme = "nir-euler,rec_cut=weight"} {
  ^bb0(%x: tensor<2xf64>, %z: tensor<2xi1>, %v: tensor<2xf64>):
    %0 = snn.sum %z, %x {node = "lif"} : (tensor<2xi1>, tensor<2xf64>) -> tensor<2xf64>
    %lif = snn.filter %0, %v {decay = dense<1.000000e+00> : tensor<f64>, gain = dense<1.000000e+00> : tensor<f64>, node = "lif"} : (tensor<2xf64>, tensor<2xf64>) -> tensor<2xf64>
    %lif_1 = snn.fire %lif {threshold = dense<5.000000e-01> : tensor<f64>, compare = ">", node = "lif"} : (tensor<2xf64>) -> tensor<2xi1>
    %lif_2 = snn.reset %lif, %lif_1 {kind = "value", amount = dense<0.000000e+00> : tensor<f64>, node = "lif"} : (tensor<2xf64>, tensor<2xi1>) -> tensor<2xf64>
    snn.yield %lif_1, %lif_1, %lif_2 : tensor<2xi1>, tensor<2xi1>, tensor<2xf64>
  }
}

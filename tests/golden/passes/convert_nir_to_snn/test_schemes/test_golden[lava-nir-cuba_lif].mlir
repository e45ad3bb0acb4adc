builtin.module attributes {nir.assumptions = [#nir.assumption<"given", "dt", "0.001 s">, #nir.assumption<"given", "scheme", "lava-nir: forward Euler, gains dt/tau (LIF), w(1-b) (synapse), a neuron fires where v > threshold, an input value is a current that lasts one step">, #nir.assumption<"given", "reset", "to 0 for 'n'">, #nir.assumption<"note", "scheme", "the importer of lava-nir takes no CubaLIF: its choices are applied to 'n'">], nir.dt = 1.000000e-03 : f64} {
  snn.network @main attributes {inputs = ["x"], outputs = ["y"], states = [#snn.state<"n", "i", dense<0.000000e+00> : tensor<f32>>, #snn.state<"n", "v", dense<0.000000e+00> : tensor<f32>>], scheme = "lava-nir"} {
  ^bb0(%x: tensor<2xf32>, %i: tensor<2xf32>, %v: tensor<2xf32>):
    %n = snn.filter %x, %i {decay = dense<8.000000e-01> : tensor<f32>, gain = dense<4.000000e-01> : tensor<f32>, node = "n"} : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
    %n_1 = snn.filter %n, %v {decay = dense<9.500000e-01> : tensor<f32>, gain = dense<1.500000e-01> : tensor<f32>, node = "n"} : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
    %n_2 = snn.fire %n_1 {threshold = dense<1.500000e+00> : tensor<f32>, compare = ">", node = "n"} : (tensor<2xf32>) -> tensor<2xi1>
    %n_3 = snn.reset %n_1, %n_2 {kind = "value", amount = dense<0.000000e+00> : tensor<f32>, node = "n"} : (tensor<2xf32>, tensor<2xi1>) -> tensor<2xf32>
    snn.yield %n_2, %n, %n_3 : tensor<2xi1>, tensor<2xf32>, tensor<2xf32>
  }
}

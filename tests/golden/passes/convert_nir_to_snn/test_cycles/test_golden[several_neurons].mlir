builtin.module attributes {nir.assumptions = [#nir.assumption<"given", "dt", "0.001 s">, #nir.assumption<"given", "scheme", "nir-euler: forward Euler, gains from r and w_in, a neuron fires where v > threshold, an input value is a current that lasts one step">, #nir.assumption<"choice", "reset", "to 0 for 't', 'b', 'a': NIR does not say with which kind the network was trained">, #nir.assumption<"choice", "gain of IF", "r (an input is a spike, whose effect does not depend on dt) for 't', 'b', 'a'">, #nir.assumption<"given", "cycle", "cut at 'w' -> 't': it carries what last step's outputs of the neurons before it give, 0 at first">], nir.dt = 1.000000e-03 : f64} {
  snn.network @main attributes {inputs = ["x"], outputs = ["to_t", "to_b"], states = [#snn.state<"a", "z", dense<false> : tensor<i1>>, #snn.state<"b", "z", dense<false> : tensor<i1>>, #snn.state<"t", "v", dense<0.000000e+00> : tensor<f64>>, #snn.state<"b", "v", dense<0.000000e+00> : tensor<f64>>, #snn.state<"a", "v", dense<0.000000e+00> : tensor<f64>>], scheme = "nir-euler"} {
  ^bb0(%x: tensor<2xf64>, %z: tensor<2xi1>, %z_1: tensor<2xi1>, %v: tensor<2xf64>, %v_1: tensor<2xf64>, %v_2: tensor<2xf64>):
    %0 = snn.sum %z, %z_1 {node = "w"} : (tensor<2xi1>, tensor<2xi1>) -> tensor<2xf64>
    %w = snn.linear %0 {weight = dense<[[7.500000e-01, -5.000000e-01], [2.500000e-01, 3.750000e-01]]> : tensor<2x2xf64>, node = "w"} : (tensor<2xf64>) -> tensor<2xf64>
    %w_1 = snn.add %w {constant = dense<[1.250000e-01, -2.500000e-01]> : tensor<2xf64>, node = "w"} : (tensor<2xf64>) -> tensor<2xf64>
    %1 = snn.sum %w_1, %x {node = "t"} : (tensor<2xf64>, tensor<2xf64>) -> tensor<2xf64>
    %t = snn.filter %1, %v {decay = dense<1.000000e+00> : tensor<f64>, gain = dense<1.000000e+00> : tensor<f64>, node = "t"} : (tensor<2xf64>, tensor<2xf64>) -> tensor<2xf64>
    %t_1 = snn.fire %t {threshold = dense<5.000000e-01> : tensor<f64>, compare = ">", node = "t"} : (tensor<2xf64>) -> tensor<2xi1>
    %t_2 = snn.reset %t, %t_1 {kind = "value", amount = dense<0.000000e+00> : tensor<f64>, node = "t"} : (tensor<2xf64>, tensor<2xi1>) -> tensor<2xf64>
    %b = snn.filter %t_1, %v_1 {decay = dense<1.000000e+00> : tensor<f64>, gain = dense<1.000000e+00> : tensor<f64>, node = "b"} : (tensor<2xi1>, tensor<2xf64>) -> tensor<2xf64>
    %b_1 = snn.fire %b {threshold = dense<5.000000e-01> : tensor<f64>, compare = ">", node = "b"} : (tensor<2xf64>) -> tensor<2xi1>
    %b_2 = snn.reset %b, %b_1 {kind = "value", amount = dense<0.000000e+00> : tensor<f64>, node = "b"} : (tensor<2xf64>, tensor<2xi1>) -> tensor<2xf64>
    %a = snn.filter %t_1, %v_2 {decay = dense<1.000000e+00> : tensor<f64>, gain = dense<1.000000e+00> : tensor<f64>, node = "a"} : (tensor<2xi1>, tensor<2xf64>) -> tensor<2xf64>
    %a_1 = snn.fire %a {threshold = dense<5.000000e-01> : tensor<f64>, compare = ">", node = "a"} : (tensor<2xf64>) -> tensor<2xi1>
    %a_2 = snn.reset %a, %a_1 {kind = "value", amount = dense<0.000000e+00> : tensor<f64>, node = "a"} : (tensor<2xf64>, tensor<2xi1>) -> tensor<2xf64>
    snn.yield %t_1, %b_1, %a_1, %b_1, %t_2, %b_2, %a_2 : tensor<2xi1>, tensor<2xi1>, tensor<2xi1>, tensor<2xi1>, tensor<2xf64>, tensor<2xf64>, tensor<2xf64>
  }
}

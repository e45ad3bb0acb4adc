builtin.module attributes {nir.assumptions = [#nir.assumption<"given", "dt", "0.001 s">, #nir.assumption<"given", "scheme", "nir-euler: forward Euler, gains from r and w_in, a neuron fires where v > threshold, an input value is a current that lasts one step">, #nir.assumption<"choice", "reset", "to 0 for 'a', 'b': NIR does not say with which kind the network was trained">, #nir.assumption<"choice", "gain of IF", "r (an input is a spike, whose effect does not depend on dt) for 'a', 'b'">, #nir.assumption<"given", "cycle", "cut at 'b' -> 'a': it carries what last step's outputs of the neurons before it give, 0 at first">], nir.dt = 1.000000e-03 : f64} {
  snn.network @main attributes {inputs = ["x", "y"], outputs = ["to_a", "to_b"], states = [#snn.state<"b", "z", dense<false> : tensor<i1>>, #snn.state<"a", "v", dense<0.000000e+00> : tensor<f64>>, #snn.state<"b", "v", dense<0.000000e+00> : tensor<f64>>], scheme = "nir-euler"} {
  ^bb0(%x: tensor<2xf64>, %y: tensor<2xf64>, %z: tensor<2xi1>, %v: tensor<2xf64>, %v_1: tensor<2xf64>):
    %0 = snn.sum %z, %x {node = "a"} : (tensor<2xi1>, tensor<2xf64>) -> tensor<2xf64>
    %a = snn.filter %0, %v {decay = dense<1.000000e+00> : tensor<f64>, gain = dense<1.000000e+00> : tensor<f64>, node = "a"} : (tensor<2xf64>, tensor<2xf64>) -> tensor<2xf64>
    %a_1 = snn.fire %a {threshold = dense<5.000000e-01> : tensor<f64>, compare = ">", node = "a"} : (tensor<2xf64>) -> tensor<2xi1>
    %a_2 = snn.reset %a, %a_1 {kind = "value", amount = dense<0.000000e+00> : tensor<f64>, node = "a"} : (tensor<2xf64>, tensor<2xi1>) -> tensor<2xf64>
    %1 = snn.sum %a_1, %y {node = "b"} : (tensor<2xi1>, tensor<2xf64>) -> tensor<2xf64>
    %b = snn.filter %1, %v_1 {decay = dense<1.000000e+00> : tensor<f64>, gain = dense<1.000000e+00> : tensor<f64>, node = "b"} : (tensor<2xf64>, tensor<2xf64>) -> tensor<2xf64>
    %b_1 = snn.fire %b {threshold = dense<5.000000e-01> : tensor<f64>, compare = ">", node = "b"} : (tensor<2xf64>) -> tensor<2xi1>
    %b_2 = snn.reset %b, %b_1 {kind = "value", amount = dense<0.000000e+00> : tensor<f64>, node = "b"} : (tensor<2xf64>, tensor<2xi1>) -> tensor<2xf64>
    snn.yield %a_1, %b_1, %b_1, %a_2, %b_2 : tensor<2xi1>, tensor<2xi1>, tensor<2xi1>, tensor<2xf64>, tensor<2xf64>
  }
}

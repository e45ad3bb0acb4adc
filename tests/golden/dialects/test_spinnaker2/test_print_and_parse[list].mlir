builtin.module {
  spinnaker2.network @main attributes {inputs = [#spinnaker2.port<"x", "in", array<i64: 4>>], outputs = [#spinnaker2.port<"y", "n", array<i64: 2>>], integrator = "euler"} {
    spinnaker2.population "in" {shape = array<i64: 4>, neuron_model = "spike_list"}
    spinnaker2.population "n" {shape = array<i64: 2>, neuron_model = "lif_no_delay", record = ["spikes"], reset = "reset_to_v_reset", threshold = dense<1.000000e+01> : tensor<f32>, alpha_decay = dense<5.000000e-01> : tensor<f32>, i_offset = dense<0.000000e+00> : tensor<f32>, v_init = dense<[1.000000e+00, -1.000000e+00]> : tensor<2xf32>}
    spinnaker2.list_projection "p" from "in" to "n" {nodes = ["fc"], weights = dense<[5, -7]> : tensor<2xi32>, connections = dense<[[0, 0], [3, 1]]> : tensor<2x2xi32>}
  }
}

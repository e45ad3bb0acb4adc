builtin.module {
  spinnaker2.network @main attributes {inputs = [#spinnaker2.port<"x", "in", array<i64: 1, 6, 6>>], outputs = [#spinnaker2.port<"y", "n", array<i64: 2, 3, 3>>], integrator = "euler"} {
    spinnaker2.population "in" {shape = array<i64: 1, 6, 6>, neuron_model = "spike_list"}
    spinnaker2.population "n" {shape = array<i64: 2, 3, 3>, neuron_model = "lif_conv2d", record = ["spikes"], reset = "reset_to_v_reset", threshold = dense<1.000000e+01> : tensor<f32>, alpha_decay = dense<5.000000e-01> : tensor<f32>, i_offset = dense<0.000000e+00> : tensor<f32>}
    spinnaker2.conv2d_projection "c" from "in" to "n" {nodes = ["conv"], weights = dense<[[[[1, 2, 3], [4, 5, 6], [7, 8, 9]], [[10, 11, 12], [13, 14, 15], [16, 17, 18]]]]> : tensor<1x2x3x3xi32>, input = array<i64: 6, 6>, padding = array<i64: 1, 1, 1, 1>, stride = 1 : i64, pool = 2 : i64}
  }
}

builtin.module attributes {nir.assumptions = [#nir.assumption<"note", "parts", "nothing connects 'lif'; 'alone': Lava starts one at a time, as nirc's loader does, one after the other">, #nir.assumption<"note", "estimate", "about 123 cores, one chip has about 120 usable: several chips">]} {
  loihi2.network @main attributes {outputs = [#loihi2.port<"lif", "lif", array<i64: 2>>]} {
    loihi2.input {process = "in", shape = array<i64: 2>}
    loihi2.delay_dense {process = "fc", nodes = [], weights = dense<[[254, -256], [0, 2]]> : tensor<2x2xi32>, weight_exp = 7 : i64, num_weight_bits = 8 : i64, sign_mode = "MIXED", num_message_bits = 0 : i64, delays = dense<[[0, 62], [1, 2]]> : tensor<2x2xi32>}
    loihi2.lif {process = "lif", node = "lif", shape = array<i64: 2>, du = dense<4095> : tensor<i32>, dv = dense<0> : tensor<i32>, vth = dense<131071> : tensor<i32>, bias_mant = dense<-4096> : tensor<i32>, bias_exp = dense<7> : tensor<i32>, v = dense<8388607> : tensor<i32>}
    loihi2.lif {process = "alone", node = "alone", shape = array<i64: 500000>, du = dense<0> : tensor<i32>, dv = dense<0> : tensor<i32>, vth = dense<1> : tensor<i32>, bias_mant = dense<0> : tensor<i32>, bias_exp = dense<0> : tensor<i32>}
    loihi2.connect "in" to "fc" {transform = []}
    loihi2.connect "fc" to "lif" {transform = []}
  }
}

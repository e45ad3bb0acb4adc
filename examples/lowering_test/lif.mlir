// RUN: nirc-opt %s -p 'nir-infer-shapes,convert-nir-to-snn{dt=0.001}' | filecheck %s

// A LIF with tau = 4 ms at a step of 1 ms keeps 3/4 of its voltage a step and takes 1/4 of its input.

nir.graph @main attributes {inputs = ["input"], outputs = ["output"]} {
^bb0(%x: !nir.signal<2>):
  %v = nir.lif "lif"(%x) {
    tau = dense<4.0e-03> : tensor<f64>, r = dense<1.0> : tensor<f32>,
    v_leak = dense<0.0> : tensor<f32>, v_threshold = dense<1.0> : tensor<f32>
  } : (!nir.signal<2>) -> !nir.signal<*>
  nir.yield %v : !nir.signal<*>
}

// CHECK:      snn.network @main
// CHECK:      %v{{.*}} = snn.filter %{{.*}}, %{{.*}} {decay = dense<7.500000e-01> : tensor<f32>, gain = dense<2.500000e-01> : tensor<f32>, node = "lif"}
// CHECK-NEXT: snn.fire %{{.*}} {threshold = dense<1.000000e+00> : tensor<f32>, compare = ">", node = "lif"}
// CHECK-NEXT: snn.reset %{{.*}}, %{{.*}} {kind = "value", amount = dense<0.000000e+00> : tensor<f32>, node = "lif"}
// CHECK-NEXT: snn.yield

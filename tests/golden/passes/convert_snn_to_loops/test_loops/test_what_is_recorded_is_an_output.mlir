builtin.module {
  cpu.kernel @main {arguments = [#cpu.argument<"input", "x", tensor<3xf32>, unit>, #cpu.argument<"state", "n.v", tensor<2xf32>, dense<0.000000e+00> : tensor<f32>>, #cpu.argument<"output", "y", tensor<2xi1>, unit>, #cpu.argument<"output", "n.v", tensor<2xf32>, unit>, #cpu.argument<"output", "n.spikes", tensor<2xi1>, unit>, #cpu.argument<"scratch", "w.5", tensor<2xf32>, unit>, #cpu.argument<"scratch", "events.6", tensor<3xi32>, unit>, #cpu.argument<"constant", "w.weight", tensor<6xf32>, dense<[5.000000e-01, -1.000000e+00, 1.000000e+00, 2.500000e-01, -2.500000e-01, 7.500000e-01]> : tensor<6xf32>>, #cpu.argument<"constant", "n.gain", tensor<2xf32>, dense<[1.500000e+00, 5.000000e-01]> : tensor<2xf32>>], lanes = 1 : i64}
  func.func @main(%0: index, %input_x: memref<?xf32>, %input_x_stride: index, %state_n_v: memref<2xf32>, %output_y: memref<?xi8>, %output_y_stride: index, %output_n_v: memref<?xf32>, %output_n_v_stride: index, %output_n_spikes: memref<?xi8>, %output_n_spikes_stride: index, %scratch_w: memref<2xf32>, %scratch_events: memref<3xi32>, %constant_w_weight: memref<6xf32>, %constant_n_gain: memref<2xf32>) {
    %1 = arith.constant -2.500000e-01 : f32
    %2 = arith.constant 1.000000e+00 : f32
    %3 = arith.constant 7.500000e-01 : f32
    %4 = arith.constant 2 : index
    %5 = arith.constant 3 : index
    %6 = arith.constant 1 : index
    %7 = arith.constant 0.000000e+00 : f32
    %8 = arith.constant 0 : index
    scf.for %9 = %8 to %0 step %6 {
      %10 = arith.muli %9, %input_x_stride : index
      %11 = arith.muli %9, %output_y_stride : index
      %12 = arith.muli %9, %output_n_v_stride : index
      %13 = arith.muli %9, %output_n_spikes_stride : index
      %14 = scf.for %15 = %8 to %5 step %6 iter_args(%16 = %8) -> (index) {
        %17 = arith.addi %10, %15 : index
        %18 = memref.load %input_x[%17] : memref<?xf32>
        %19 = arith.cmpf une, %18, %7 : f32
        %20 = arith.index_cast %15 : index to i32
        memref.store %20, %scratch_events[%16] : memref<3xi32>
        %21 = arith.select %19, %6, %8 : index
        %22 = arith.addi %16, %21 : index
        scf.yield %22 : index
      }
      scf.for %23 = %8 to %4 step %6 {
        memref.store %7, %scratch_w[%23] : memref<2xf32>
      }
      scf.for %24 = %8 to %14 step %6 {
        %25 = memref.load %scratch_events[%24] : memref<3xi32>
        %26 = arith.index_cast %25 : i32 to index
        %27 = arith.muli %26, %4 : index
        %28 = arith.addi %10, %26 : index
        %29 = memref.load %input_x[%28] : memref<?xf32>
        scf.for %30 = %8 to %4 step %6 {
          %31 = arith.addi %27, %30 : index
          %32 = memref.load %constant_w_weight[%31] : memref<6xf32>
          %33 = memref.load %scratch_w[%30] : memref<2xf32>
          %34 = arith.mulf %32, %29 : f32
          %35 = arith.addf %33, %34 : f32
          memref.store %35, %scratch_w[%30] : memref<2xf32>
        }
      }
      scf.for %36 = %8 to %4 step %6 {
        %37 = memref.load %scratch_w[%36] : memref<2xf32>
        %38 = memref.load %state_n_v[%36] : memref<2xf32>
        %39 = arith.mulf %3, %38 : f32
        %40 = memref.load %constant_n_gain[%36] : memref<2xf32>
        %41 = arith.mulf %40, %37 : f32
        %42 = arith.addf %39, %41 : f32
        %43 = arith.cmpf ogt, %42, %2 : f32
        %44 = arith.select %43, %1, %42 : f32
        %45 = arith.extui %43 : i1 to i8
        %46 = arith.addi %11, %36 : index
        memref.store %45, %output_y[%46] : memref<?xi8>
        %47 = arith.extui %43 : i1 to i8
        %48 = arith.addi %13, %36 : index
        memref.store %47, %output_n_spikes[%48] : memref<?xi8>
        %49 = arith.addi %12, %36 : index
        memref.store %44, %output_n_v[%49] : memref<?xf32>
        memref.store %44, %state_n_v[%36] : memref<2xf32>
      }
    }
    func.return
  }
}

builtin.module {
  cpu.kernel @main {arguments = [#cpu.argument<"input", "x", tensor<3xf32>, unit>, #cpu.argument<"state", "n.v", tensor<2xf32>, dense<0.000000e+00> : tensor<f32>>, #cpu.argument<"output", "y", tensor<2xi1>, unit>, #cpu.argument<"output", "n.v", tensor<2xf32>, unit>, #cpu.argument<"output", "n.spikes", tensor<2xi1>, unit>, #cpu.argument<"scratch", "w.5", tensor<2xf32>, unit>, #cpu.argument<"constant", "w.weight", tensor<6xf32>, dense<[5.000000e-01, -1.000000e+00, 1.000000e+00, 2.500000e-01, -2.500000e-01, 7.500000e-01]> : tensor<6xf32>>, #cpu.argument<"constant", "n.gain", tensor<2xf32>, dense<[1.500000e+00, 5.000000e-01]> : tensor<2xf32>>]}
  func.func @main(%0: index, %input_x: memref<?xf32>, %input_x_stride: index, %state_n_v: memref<2xf32>, %output_y: memref<?xi8>, %output_y_stride: index, %output_n_v: memref<?xf32>, %output_n_v_stride: index, %output_n_spikes: memref<?xi8>, %output_n_spikes_stride: index, %scratch_w: memref<2xf32>, %constant_w_weight: memref<6xf32>, %constant_n_gain: memref<2xf32>) {
    %1 = arith.constant -2.500000e-01 : f32
    %2 = arith.constant 1.000000e+00 : f32
    %3 = arith.constant 7.500000e-01 : f32
    %4 = arith.constant 3 : index
    %5 = arith.constant 1 : index
    %6 = arith.constant 2 : index
    %7 = arith.constant 0 : index
    %8 = arith.constant 0.000000e+00 : f32
    scf.for %9 = %7 to %0 step %5 {
      %10 = arith.muli %9, %input_x_stride : index
      %11 = arith.muli %9, %output_y_stride : index
      %12 = arith.muli %9, %output_n_v_stride : index
      %13 = arith.muli %9, %output_n_spikes_stride : index
      scf.for %14 = %7 to %6 step %5 {
        memref.store %8, %scratch_w[%14] : memref<2xf32>
      }
      scf.for %15 = %7 to %4 step %5 {
        %16 = arith.muli %15, %6 : index
        %17 = arith.addi %10, %15 : index
        %18 = memref.load %input_x[%17] : memref<?xf32>
        scf.for %19 = %7 to %6 step %5 {
          %20 = arith.addi %16, %19 : index
          %21 = memref.load %constant_w_weight[%20] : memref<6xf32>
          %22 = memref.load %scratch_w[%19] : memref<2xf32>
          %23 = arith.mulf %21, %18 : f32
          %24 = arith.addf %22, %23 : f32
          memref.store %24, %scratch_w[%19] : memref<2xf32>
        }
      }
      scf.for %25 = %7 to %6 step %5 {
        %26 = memref.load %scratch_w[%25] : memref<2xf32>
        %27 = memref.load %state_n_v[%25] : memref<2xf32>
        %28 = arith.mulf %3, %27 : f32
        %29 = memref.load %constant_n_gain[%25] : memref<2xf32>
        %30 = arith.mulf %29, %26 : f32
        %31 = arith.addf %28, %30 : f32
        %32 = arith.cmpf ogt, %31, %2 : f32
        %33 = arith.select %32, %1, %31 : f32
        %34 = arith.extui %32 : i1 to i8
        %35 = arith.addi %11, %25 : index
        memref.store %34, %output_y[%35] : memref<?xi8>
        %36 = arith.extui %32 : i1 to i8
        %37 = arith.addi %13, %25 : index
        memref.store %36, %output_n_spikes[%37] : memref<?xi8>
        %38 = arith.addi %12, %25 : index
        memref.store %33, %output_n_v[%38] : memref<?xf32>
        memref.store %33, %state_n_v[%25] : memref<2xf32>
      }
    }
    func.return
  }
}

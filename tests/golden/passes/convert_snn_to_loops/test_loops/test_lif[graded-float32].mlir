builtin.module {
  cpu.kernel @main {arguments = [#cpu.argument<"input", "x", tensor<3xf32>, unit>, #cpu.argument<"state", "n.v", tensor<2xf32>, dense<0.000000e+00> : tensor<f32>>, #cpu.argument<"output", "y", tensor<2xi1>, unit>, #cpu.argument<"scratch", "w.3", tensor<2xf32>, unit>, #cpu.argument<"scratch", "events.4", tensor<3xi32>, unit>, #cpu.argument<"constant", "w.weight", tensor<6xf32>, dense<[5.000000e-01, -1.000000e+00, 1.000000e+00, 2.500000e-01, -2.500000e-01, 7.500000e-01]> : tensor<6xf32>>, #cpu.argument<"constant", "n.gain", tensor<2xf32>, dense<[1.500000e+00, 5.000000e-01]> : tensor<2xf32>>], lanes = 1 : i64}
  func.func @main(%0: index, %input_x: memref<?xf32>, %input_x_stride: index, %state_n_v: memref<2xf32>, %output_y: memref<?xi8>, %output_y_stride: index, %scratch_w: memref<2xf32>, %scratch_events: memref<3xi32>, %constant_w_weight: memref<6xf32>, %constant_n_gain: memref<2xf32>) {
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
      %12 = scf.for %13 = %8 to %5 step %6 iter_args(%14 = %8) -> (index) {
        %15 = arith.addi %10, %13 : index
        %16 = memref.load %input_x[%15] : memref<?xf32>
        %17 = arith.cmpf une, %16, %7 : f32
        %18 = arith.index_cast %13 : index to i32
        memref.store %18, %scratch_events[%14] : memref<3xi32>
        %19 = arith.select %17, %6, %8 : index
        %20 = arith.addi %14, %19 : index
        scf.yield %20 : index
      }
      scf.for %21 = %8 to %4 step %6 {
        memref.store %7, %scratch_w[%21] : memref<2xf32>
      }
      scf.for %22 = %8 to %12 step %6 {
        %23 = memref.load %scratch_events[%22] : memref<3xi32>
        %24 = arith.index_cast %23 : i32 to index
        %25 = arith.muli %24, %4 : index
        %26 = arith.addi %10, %24 : index
        %27 = memref.load %input_x[%26] : memref<?xf32>
        scf.for %28 = %8 to %4 step %6 {
          %29 = arith.addi %25, %28 : index
          %30 = memref.load %constant_w_weight[%29] : memref<6xf32>
          %31 = memref.load %scratch_w[%28] : memref<2xf32>
          %32 = arith.mulf %30, %27 : f32
          %33 = arith.addf %31, %32 : f32
          memref.store %33, %scratch_w[%28] : memref<2xf32>
        }
      }
      scf.for %34 = %8 to %4 step %6 {
        %35 = memref.load %scratch_w[%34] : memref<2xf32>
        %36 = memref.load %state_n_v[%34] : memref<2xf32>
        %37 = arith.mulf %3, %36 : f32
        %38 = memref.load %constant_n_gain[%34] : memref<2xf32>
        %39 = arith.mulf %38, %35 : f32
        %40 = arith.addf %37, %39 : f32
        %41 = arith.cmpf ogt, %40, %2 : f32
        %42 = arith.select %41, %1, %40 : f32
        %43 = arith.extui %41 : i1 to i8
        %44 = arith.addi %11, %34 : index
        memref.store %43, %output_y[%44] : memref<?xi8>
        memref.store %42, %state_n_v[%34] : memref<2xf32>
      }
    }
    func.return
  }
}

builtin.module {
  cpu.kernel @main {arguments = [#cpu.argument<"input", "x", tensor<3xf32>, unit>, #cpu.argument<"state", "n.v", tensor<2xf32>, dense<0.000000e+00> : tensor<f32>>, #cpu.argument<"output", "y", tensor<2xi1>, unit>, #cpu.argument<"scratch", "w.3", tensor<2xf32>, unit>, #cpu.argument<"constant", "w.weight", tensor<6xf32>, dense<[5.000000e-01, -1.000000e+00, 1.000000e+00, 2.500000e-01, -2.500000e-01, 7.500000e-01]> : tensor<6xf32>>, #cpu.argument<"constant", "n.gain", tensor<2xf32>, dense<[1.500000e+00, 5.000000e-01]> : tensor<2xf32>>]}
  func.func @main(%0: index, %input_x: memref<?xf32>, %input_x_stride: index, %state_n_v: memref<2xf32>, %output_y: memref<?xi8>, %output_y_stride: index, %scratch_w: memref<2xf32>, %constant_w_weight: memref<6xf32>, %constant_n_gain: memref<2xf32>) {
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
      scf.for %12 = %7 to %6 step %5 {
        memref.store %8, %scratch_w[%12] : memref<2xf32>
      }
      scf.for %13 = %7 to %4 step %5 {
        %14 = arith.muli %13, %6 : index
        %15 = arith.addi %10, %13 : index
        %16 = memref.load %input_x[%15] : memref<?xf32>
        scf.for %17 = %7 to %6 step %5 {
          %18 = arith.addi %14, %17 : index
          %19 = memref.load %constant_w_weight[%18] : memref<6xf32>
          %20 = memref.load %scratch_w[%17] : memref<2xf32>
          %21 = arith.mulf %19, %16 : f32
          %22 = arith.addf %20, %21 : f32
          memref.store %22, %scratch_w[%17] : memref<2xf32>
        }
      }
      scf.for %23 = %7 to %6 step %5 {
        %24 = memref.load %scratch_w[%23] : memref<2xf32>
        %25 = memref.load %state_n_v[%23] : memref<2xf32>
        %26 = arith.mulf %3, %25 : f32
        %27 = memref.load %constant_n_gain[%23] : memref<2xf32>
        %28 = arith.mulf %27, %24 : f32
        %29 = arith.addf %26, %28 : f32
        %30 = arith.cmpf ogt, %29, %2 : f32
        %31 = arith.select %30, %1, %29 : f32
        %32 = arith.extui %30 : i1 to i8
        %33 = arith.addi %11, %23 : index
        memref.store %32, %output_y[%33] : memref<?xi8>
        memref.store %31, %state_n_v[%23] : memref<2xf32>
      }
    }
    func.return
  }
}

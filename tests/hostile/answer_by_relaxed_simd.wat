;; passes
;; prelude
;; relaxed instructions may differ between machines: denies when one gives another than the deterministic profile's answer
(func $wrong (param v128 v128)
  (if (v128.any_true (v128.xor (local.get 0) (local.get 1))) (then (i32.store8 (i32.const 1024) (i32.const 5)))))
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32)
  (local $zeros v128)
  ;; fused: (1 + 2^-23)^2 - (1 + 2^-22) keeps the 2^-46 that two roundings would lose
  (call $wrong
    (f32x4.relaxed_madd
      (f32x4.splat (f32.const 0x1.000002p+0)) (f32x4.splat (f32.const 0x1.000002p+0))
      (f32x4.splat (f32.const -0x1.000004p+0)))
    (f32x4.splat (f32.const 0x1p-46)))
  ;; an index beyond the lanes is a zero
  (call $wrong
    (i8x16.relaxed_swizzle (v128.const i64x2 -1 -1) (i8x16.splat (i32.const 0x10)))
    (local.get $zeros))
  (call $wrong
    (i8x16.relaxed_swizzle (v128.const i64x2 -1 -1) (i8x16.splat (i32.const 0x7f)))
    (local.get $zeros))
  ;; NaN becomes 0, what is too large the largest, what is too small the smallest
  (call $wrong
    (i32x4.relaxed_trunc_f32x4_s (v128.const f32x4 nan 3e9 -3e9 -1.5))
    (v128.const i32x4 0 0x7fffffff 0x80000000 -1))
  (call $wrong
    (i32x4.relaxed_trunc_f32x4_u (v128.const f32x4 nan 5e9 -1 1.5))
    (v128.const i32x4 0 -1 0 1))
  ;; bit by bit
  (call $wrong
    (i32x4.relaxed_laneselect
      (v128.const i32x4 -1 -1 -1 -1) (v128.const i32x4 0 0 0 0)
      (v128.const i32x4 1 0x0f0f0f0f 0x80000000 0x7fffffff))
    (v128.const i32x4 1 0x0f0f0f0f 0x80000000 0x7fffffff))
  (call $wrong
    (f32x4.relaxed_min (v128.const f32x4 0 -0 1 2) (v128.const f32x4 -0 0 2 1))
    (v128.const f32x4 -0 -0 1 1))
  (call $wrong
    (f32x4.relaxed_max (v128.const f32x4 0 -0 1 2) (v128.const f32x4 -0 0 2 1))
    (v128.const f32x4 0 0 2 2))
  ;; -1 * -1 saturates
  (call $wrong
    (i16x8.relaxed_q15mulr_s (i16x8.splat (i32.const 0x8000)) (i16x8.splat (i32.const 0x8000)))
    (i16x8.splat (i32.const 0x7fff)))
  ;; signed by signed
  (call $wrong
    (i16x8.relaxed_dot_i8x16_i7x16_s (i8x16.splat (i32.const 2)) (i8x16.splat (i32.const 0x81)))
    (i16x8.splat (i32.const -508)))
  (i32.const 1024))

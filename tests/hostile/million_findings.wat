;; evaluate output_limit
;; prelude
;; a list of 1,500 findings whose texts all point at the same 1 kB: small in the guest, large when lifted
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32)
  (local $i i32) (local $at i32)
  (local.set $at (i32.const 8192))
  (loop $fill
    (i32.store (local.get $at) (i32.const 4096))
    (i32.store offset=4 (local.get $at) (i32.const 1024))
    (i32.store offset=8 (local.get $at) (i32.const 4096))
    (i32.store offset=12 (local.get $at) (i32.const 1024))
    (local.set $at (i32.add (local.get $at) (i32.const 40)))
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br_if $fill (i32.lt_u (local.get $i) (i32.const 1500))))
  (i32.store (i32.const 1040) (i32.const 8192))
  (i32.store (i32.const 1044) (i32.const 1500))
  (i32.const 1024))

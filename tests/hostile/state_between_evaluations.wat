;; passes
;; prelude
;; denies from its third evaluation on, if it could count them; the two of warm-up and cases do not
(global $count (mut i32) (i32.const 0))
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32)
  (global.set $count (i32.add (global.get $count) (i32.const 1)))
  (i32.store (i32.const 3000) (i32.add (i32.load (i32.const 3000)) (i32.const 1)))
  (if (i32.gt_u (i32.load (i32.const 3000)) (i32.const 2)) (then (i32.store8 (i32.const 1024) (i32.const 5))))
  (if (i32.gt_u (global.get $count) (i32.const 2)) (then (i32.store8 (i32.const 1024) (i32.const 5))))
  (i32.const 1024))

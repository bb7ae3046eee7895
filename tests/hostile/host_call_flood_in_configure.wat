;; load configure guest_failed
;; prelude without configure
(func (export "octroi:policy/lifecycle@0.1.0#configure") (param i32 i32) (result i32)
  (loop $again (call $log (i32.const 3) (i32.const 4096) (i32.const 1)) (br $again))
  (i32.const 1024))
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (i32.const 1024))

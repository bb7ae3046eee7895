;; load instantiate guest_failed
;; prelude
(func $start unreachable)
(start $start)
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (i32.const 1024))

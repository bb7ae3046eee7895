;; load instantiate guest_failed
;; prelude
(data (i32.const 0x7ffffff0) "beyond")
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (i32.const 1024))

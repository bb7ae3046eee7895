;; load configure guest_failed
;; prelude without configure
(data (i32.const 2048) "\01\00\00\00\00\00\02\00\ff\ff\ff\7f")
(func (export "octroi:policy/lifecycle@0.1.0#configure") (param i32 i32) (result i32) (i32.const 2048))
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (i32.const 1024))

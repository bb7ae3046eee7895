;; passes
;; prelude
;; soak
;; as many as are compiled, with those of the prelude and of the encoder
;; manifest limits: { time: 1s }
;; repeat 99_990
(func)
;; end
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (i32.const 1024))

;; load configure guest_failed
;; prelude without configure
;; manifest settings: { boom: true }
;; without settings it is in order
(func (export "octroi:policy/lifecycle@0.1.0#configure") (param i32 i32) (result i32)
  (if (i32.gt_u (local.get 1) (i32.const 2)) (then unreachable))
  (i32.const 1024))
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (i32.const 1024))

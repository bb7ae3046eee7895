;; load instantiate guest_failed
;; behind a component
;; the policy's own modules are the first three
;; repeat 80
(core module)
;; end
;; repeat 80
(core instance (instantiate {i+3}))
;; end

;; load snapshot not_freezable
;; behind a component
(core module)
;; repeat 900
(core instance (instantiate 3))
;; end

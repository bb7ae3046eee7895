;; load encode not_encodable
;; prelude
;; it says that it exports `pre-check`, and does not

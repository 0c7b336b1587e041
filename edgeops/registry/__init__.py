"""The registry: SQLModel tables on SQLite (WAL), migrations, queries, and the blob store beside them.

``tables`` holds the lineage dataset -> run -> model version -> manifest -> rollout -> deployment -> report
window -> alert -> retrain -> run; ``store`` opens the database; ``blobs`` keeps bytes by digest; the other
modules are queries, one a noun.
"""

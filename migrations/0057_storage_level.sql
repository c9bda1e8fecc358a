-- Why: tools of the official storage server ask `storage.migrations` how far a
-- schema has come. Without rows it takes ours for an empty one and begins at
-- the first step. What these rows name is in the schema; the next step (38)
-- makes tables for Iceberg, which nothing here serves. Whoever moves to the
-- official server starts it on this database, and it goes on from there; the
-- hashes are its own, of the files by these names. A schema that another
-- server made has its own rows and keeps them.
-- Lock impact: 38 rows into a table that nothing else writes.

INSERT INTO storage.migrations (id, name, hash)
SELECT step.id, step.name, step.hash
FROM (VALUES
    (0, 'create-migrations-table', 'e18db593bcde2aca2a408c4d1100f6abba2195df'),
    (1, 'initialmigration', '6ab16121fbaa08bbd11b712d05f358f9b555d777'),
    (2, 'storage-schema', 'f6a1fa2c93cbcd16d4e487b362e45fca157a8dbd'),
    (3, 'pathtoken-column', '2cb1b0004b817b29d5b0a971af16bafeede4b70d'),
    (4, 'add-migrations-rls', '427c5b63fe1c5937495d9c635c263ee7a5905058'),
    (5, 'add-size-functions', '79e081a1455b63666c1294a440f8ad4b1e6a7f84'),
    (6, 'change-column-name-in-get-size', 'ded78e2f1b5d7e616117897e6443a925965b30d2'),
    (7, 'add-rls-to-buckets', 'e7e7f86adbc51049f341dfe8d30256c1abca17aa'),
    (8, 'add-public-to-buckets', 'fd670db39ed65f9d08b01db09d6202503ca2bab3'),
    (9, 'fix-search-function', 'af597a1b590c70519b464a4ab3be54490712796b'),
    (10, 'search-files-search-function', 'b595f05e92f7e91211af1bbfe9c6a13bb3391e16'),
    (11, 'add-trigger-to-auto-update-updated_at-column', '7425bdb14366d1739fa8a18c83100636d74dcaa2'),
    (12, 'add-automatic-avif-detection-flag', '8e92e1266eb29518b6a4c5313ab8f29dd0d08df9'),
    (13, 'add-bucket-custom-limits', 'cce962054138135cd9a8c4bcd531598684b25e7d'),
    (14, 'use-bytes-for-max-size', '941c41b346f9802b411f06f30e972ad4744dad27'),
    (15, 'add-can-insert-object-function', '934146bc38ead475f4ef4b555c524ee5d66799e5'),
    (16, 'add-version', '76debf38d3fd07dcfc747ca49096457d95b1221b'),
    (17, 'drop-owner-foreign-key', 'f1cbb288f1b7a4c1eb8c38504b80ae2a0153d101'),
    (18, 'add_owner_id_column_deprecate_owner', 'e7a511b379110b08e2f214be852c35414749fe66'),
    (19, 'alter-default-value-objects-id', '02e5e22a78626187e00d173dc45f58fa66a4f043'),
    (20, 'list-objects-with-delimiter', 'cd694ae708e51ba82bf012bba00caf4f3b6393b7'),
    (21, 's3-multipart-uploads', '8c804d4a566c40cd1e4cc5b3725a664a9303657f'),
    (22, 's3-multipart-uploads-big-ints', '9737dc258d2397953c9953d9b86920b8be0cdb73'),
    (23, 'optimize-search-function', '9d7e604cddc4b56a5422dc68c9313f4a1b6f132c'),
    (24, 'operation-function', '8312e37c2bf9e76bbe841aa5fda889206d2bf8aa'),
    (25, 'custom-metadata', 'd974c6057c3db1c1f847afa0e291e6165693b990'),
    (26, 'objects-prefixes', '215cabcb7f78121892a5a2037a09fedf9a1ae322'),
    (27, 'search-v2', '859ba38092ac96eb3964d83bf53ccc0b141663a6'),
    (28, 'object-bucket-name-sorting', 'c73a2b5b5d4041e39705814fd3a1b95502d38ce4'),
    (29, 'create-prefixes', 'ad2c1207f76703d11a9f9007f821620017a66c21'),
    (30, 'update-object-levels', '2be814ff05c8252fdfdc7cfb4b7f5c7e17f0bed6'),
    (31, 'objects-level-index', 'b40367c14c3440ec75f19bbce2d71e914ddd3da0'),
    (32, 'backward-compatible-index-on-objects', 'e0c37182b0f7aee3efd823298fb3c76f1042c0f7'),
    (33, 'backward-compatible-index-on-prefixes', 'b480e99ed951e0900f033ec4eb34b5bdcb4e3d49'),
    (34, 'optimize-search-function-v1', 'ca80a3dc7bfef894df17108785ce29a7fc8ee456'),
    (35, 'add-insert-trigger-prefixes', '458fe0ffd07ec53f5e3ce9df51bfdf4861929ccc'),
    (36, 'optimise-existing-functions', '6ae5fca6af5c55abe95369cd4f93985d1814ca8f'),
    (37, 'add-bucket-name-length-trigger', '3944135b4e3e8b22d6d4cbb568fe3b0b51df15c1')
) AS step (id, name, hash)
WHERE ferrobase.storage_is_ours()
ON CONFLICT DO NOTHING;

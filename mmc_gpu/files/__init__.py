"""Files into Arrow tables, safely, and results onto the disk, whole.

Nothing here knows of rounds or scores: `read_table` (table.py) reads one file of any format that is
read, `ParquetSource` (parquet_file.py) a wide one in chunks of columns, `replace_file` and
`replace_folder` (writing.py) write. Whatever a file holds, the answer is a table or a RoundError.
"""

"""A data set's folder -> its scans with masks, subjects and parts.

To add a data set: a file here with a function like `folder.read_folder`, and a line in
`opening.ADAPTERS`.
"""

from medream.adapters.check import Problem, check_dataset
from medream.adapters.dataset import Dataset
from medream.adapters.opening import open_dataset

__all__ = ["Dataset", "Problem", "check_dataset", "open_dataset"]
